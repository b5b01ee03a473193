BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE nas_jobs (
	id VARCHAR(16) NOT NULL, 
	job JSON NOT NULL, 
	result JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "nas_jobs" VALUES('cfd2cb25a4e6f733','{"kind": "train", "architecture": {"input": [1, 14, 14], "nodes": [{"name": "conv1", "inputs": ["input"], "op": "conv", "bias": true, "kernel": 3, "stride": 1, "padding": 0, "dilation": 1, "out_channels": 30, "groups": 1}, {"name": "relu1", "inputs": ["conv1"], "op": "activation", "function": "relu"}, {"name": "conv2", "inputs": ["relu1"], "op": "conv", "bias": true, "kernel": 5, "stride": 1, "padding": 0, "dilation": 1, "out_channels": 30, "groups": 1}, {"name": "relu2", "inputs": ["conv2"], "op": "activation", "function": "relu"}, {"name": "flatten", "inputs": ["relu2"], "op": "flatten"}, {"name": "hidden", "inputs": ["flatten"], "op": "linear", "bias": true, "out_features": 50}, {"name": "relu3", "inputs": ["hidden"], "op": "activation", "function": "relu"}, {"name": "dropout", "inputs": ["relu3"], "op": "dropout", "share": 0.5}, {"name": "classifier", "inputs": ["dropout"], "op": "linear", "bias": true, "out_features": 10}]}, "data": {"source": "mnist5k", "split": {"validation": 0.2, "test": 0.2, "seed": 0}}, "images_id": "digits", "recipe": {"epochs": 10, "batch_size": 100, "accumulate": 1, "optimizer": "adadelta", "learning_rate": 1.0, "momentum": 0.9, "nesterov": false, "weight_decay": 0.0, "schedule": "constant", "warm_up": 0.25, "milestones": [], "decay": 0.1, "label_smoothing": 0.0, "ema": 0.0, "augmentation": "none", "precision": "fp32", "deterministic": false}, "seed": 0, "weights_sha256": ""}','{"correct": 90, "images": 100, "weights_sha256": "ab", "wall_seconds": 2.5, "losses": [], "members": 1, "scores_sha256": "", "route": null}','2026-11-22 23:06:43.243492');
INSERT INTO "nas_jobs" VALUES('fccbe37b07d706fc','{"kind": "test", "architecture": {"input": [1, 14, 14], "nodes": [{"name": "conv1", "inputs": ["input"], "op": "conv", "bias": true, "kernel": 3, "stride": 1, "padding": 0, "dilation": 1, "out_channels": 30, "groups": 1}, {"name": "relu1", "inputs": ["conv1"], "op": "activation", "function": "relu"}, {"name": "conv2", "inputs": ["relu1"], "op": "conv", "bias": true, "kernel": 5, "stride": 1, "padding": 0, "dilation": 1, "out_channels": 30, "groups": 1}, {"name": "relu2", "inputs": ["conv2"], "op": "activation", "function": "relu"}, {"name": "flatten", "inputs": ["relu2"], "op": "flatten"}, {"name": "hidden", "inputs": ["flatten"], "op": "linear", "bias": true, "out_features": 50}, {"name": "relu3", "inputs": ["hidden"], "op": "activation", "function": "relu"}, {"name": "dropout", "inputs": ["relu3"], "op": "dropout", "share": 0.5}, {"name": "classifier", "inputs": ["dropout"], "op": "linear", "bias": true, "out_features": 10}]}, "data": {"source": "mnist5k", "split": {"validation": 0.2, "test": 0.2, "seed": 0}}, "images_id": "digits", "recipe": {"epochs": 10, "batch_size": 100, "accumulate": 1, "optimizer": "adadelta", "learning_rate": 1.0, "momentum": 0.9, "nesterov": false, "weight_decay": 0.0, "schedule": "constant", "warm_up": 0.25, "milestones": [], "decay": 0.1, "label_smoothing": 0.0, "ema": 0.0, "augmentation": "none", "precision": "fp32", "deterministic": false}, "seed": 0, "weights_sha256": "ab"}','{"correct": 17, "images": 20, "weights_sha256": "ab", "wall_seconds": 0.5, "losses": [], "members": 1, "scores_sha256": "", "route": null}','2026-11-22 23:06:43.302920');
CREATE TABLE nas_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "nas_schema" VALUES(2);
CREATE TABLE nas_searches (
	name VARCHAR(64) NOT NULL, 
	spec JSON NOT NULL, 
	networks JSON NOT NULL, 
	job_ids JSON NOT NULL, 
	data JSON NOT NULL, 
	versions JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	PRIMARY KEY (name)
);
INSERT INTO "nas_searches" VALUES('a','{"x": 1}','[{"n": 1}]','["j"]','{"y": 2}','{"z": "3"}','2026-11-22 23:06:43.217839','2026-11-22 23:06:43.323250');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'a');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',1,1);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["validation accuracy", "macs"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'resolution',20.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 14, "high": 28}}');
INSERT INTO "trial_params" VALUES(2,2,'resolution',20.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 14, "high": 28}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'constraints','[-1, -5]');
INSERT INTO "trial_system_attributes" VALUES(2,2,'constraints','[-1, -5]');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'job_id','"cfd2cb25a4e6f733"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'macs','1000');
INSERT INTO "trial_user_attributes" VALUES(3,1,'slack_params','-1');
INSERT INTO "trial_user_attributes" VALUES(4,1,'slack_macs','-5');
INSERT INTO "trial_user_attributes" VALUES(5,1,'wall_seconds','2.5');
INSERT INTO "trial_user_attributes" VALUES(6,1,'images','100');
INSERT INTO "trial_user_attributes" VALUES(7,1,'members','1');
INSERT INTO "trial_user_attributes" VALUES(8,2,'job_id','"x"');
INSERT INTO "trial_user_attributes" VALUES(9,2,'macs','1000');
INSERT INTO "trial_user_attributes" VALUES(10,2,'slack_params','-1');
INSERT INTO "trial_user_attributes" VALUES(11,2,'slack_macs','-5');
INSERT INTO "trial_user_attributes" VALUES(12,2,'failure','"the loss must stay finite"');
INSERT INTO "trial_user_attributes" VALUES(13,2,'settled','false');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.9,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,1,1000.0,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-22 23:06:40.756173','2026-11-22 23:06:43.256173');
INSERT INTO "trials" VALUES(2,1,1,'FAIL','2026-11-22 23:06:43.305745','2026-11-22 23:06:43.305745');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
