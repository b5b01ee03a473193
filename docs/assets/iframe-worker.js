// Search in pages that are opened as files: browsers start no Worker there, so its script runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.srcdoc = `<script>
        postMessage = (data) => parent.dispatchEvent(new CustomEvent("from-search", {detail: data}))
        importScripts = (...urls) => Promise.all(urls.map((url) => new Promise((done, failed) => {
          const script = document.createElement("script")
          Object.assign(script, {src: new URL(url, ${JSON.stringify(String(url))}), onload: done, onerror: failed})
          document.body.append(script)
        })))
      </script><script src="${url}"></script>`
      this.frame.onload = () => {
        const waiting = this.waiting
        this.waiting = undefined
        waiting.forEach((data) => this.postMessage(data))
      }
      window.addEventListener("from-search", (event) => {
        const message = new MessageEvent("message", {data: event.detail})
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      })
      const append = () => document.body.append(this.frame)
      document.body ? append() : addEventListener("DOMContentLoaded", append)
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else this.frame.contentWindow.dispatchEvent(new MessageEvent("message", {data}))
    }
    terminate() {
      this.frame.remove()
    }
  }
}
