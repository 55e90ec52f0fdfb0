"use strict";
// The form of the demo: a recording that is dropped, chosen or recorded, sentences, and the moments in it.
(() => {
  const byId = (id) => document.getElementById(id);
  const [form, file, chosen, record, send, status, fault, results, downloads] = [
    "demo", "file", "chosen", "record", "send", "status", "fault", "results", "downloads",
  ].map(byId);
  let recording = null; // A File.
  let recorder = null;
  let links = [];

  const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
  const choose = (own) => {
    recording = own;
    chosen.textContent = own ? `${own.name}, ${size(own.size)}` : "No recording yet.";
    fault.textContent = "";
  };
  file.addEventListener("change", () => file.files.length && choose(file.files[0]));
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      form.classList.toggle("demo-over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) choose(event.dataTransfer.files[0]);
    });
  }
  document.addEventListener("dragleave", () => form.classList.remove("demo-over"));

  // WAV, 16 bit, mono: every server reads it, which is not so of what browsers record.
  const wav = (samples, rate) => {
    const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
    const text = (at, letters) => [...letters].forEach((letter, n) => view.setUint8(at + n, letter.charCodeAt(0)));
    text(0, "RIFF");
    view.setUint32(4, 36 + 2 * samples.length, true);
    text(8, "WAVEfmt ");
    for (const [at, value] of [[16, 16], [24, rate], [28, 2 * rate]]) view.setUint32(at, value, true);
    for (const [at, value] of [[20, 1], [22, 1], [32, 2], [34, 16]]) view.setUint16(at, value, true);
    text(36, "data");
    view.setUint32(40, 2 * samples.length, true);
    samples.forEach((value, n) => view.setInt16(44 + 2 * n, 32767 * Math.max(-1, Math.min(1, value)), true));
    return view.buffer;
  };
  const finish = async (pieces) => {
    const context = new AudioContext();
    const audio = await context.decodeAudioData(await new Blob(pieces).arrayBuffer());
    context.close();
    choose(new File([wav(audio.getChannelData(0), audio.sampleRate)], "recorded.wav"));
  };
  record.hidden = !navigator.mediaDevices || !window.MediaRecorder;
  record.addEventListener("click", async () => {
    if (recorder) return recorder.stop();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const pieces = [];
      recorder = new MediaRecorder(stream);
      recorder.ondataavailable = (event) => pieces.push(event.data);
      recorder.onstop = () => {
        stream.getTracks().forEach((track) => track.stop());
        [recorder, record.textContent] = [null, "Record"];
        finish(pieces).catch((error) => { fault.textContent = `The recording cannot be used (${error.message}).`; });
      };
      recorder.start();
      record.textContent = "Stop recording";
    } catch (error) {
      fault.textContent = `The microphone cannot be used (${error.message}). Choose a file.`;
    }
  });

  const download = (text, name, label) => {
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    const link = document.createElement("a");
    [link.href, link.download, link.textContent] = [url, name, label];
    links.push(url);
    return link;
  };
  const show = (answer) => {
    Timelines.load(answer.timelines);
    links.forEach((url) => URL.revokeObjectURL(url));
    links = [];
    const elements = answer.timelines.timelines.map((_, index) => {
      const element = document.createElement("div");
      element.className = "timeline";
      element.dataset.timeline = index;
      return element;
    });
    downloads.replaceChildren(
      download(answer.labels, `${answer.stem}.txt`, "Labels for Audacity"),
      download(answer.table, `${answer.stem}.csv`, "Table (CSV)"),
    );
    results.replaceChildren(...elements);
    byId("moments").hidden = false;
    Timelines.watch(results);
    status.textContent = [`Moments for ${elements.length === 1 ? "1 sentence" : `${elements.length} sentences`}.`,
      ...answer.notes].join(" ");
    byId("moments").scrollIntoView();
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fault.textContent = "";
    const sentences = byId("sentences").value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (!recording || !sentences.length) {
      fault.textContent = recording ? "Write at least one sentence." : "Choose or record a recording first.";
      return;
    }
    const query = new URLSearchParams([["name", recording.name], ...sentences.map((line) => ["sentence", line])]);
    const largest = Number(form.dataset.largest); // The server refuses it too, after part of it was sent.
    if (recording.size > largest) {
      fault.textContent = `${recording.name}: is larger than ${size(largest)}. Choose a shorter recording.`;
      return;
    }
    send.disabled = true;
    status.textContent = "Listening …";
    try {
      const headers = { "Content-Type": "application/octet-stream" };
      const response = await fetch(`moments?${query}`, { method: "POST", headers, body: recording });
      const answer = await response.json();
      status.textContent = "";
      if (response.ok) show(answer);
      else fault.textContent = answer.error;
    } catch (error) {
      status.textContent = "";
      fault.textContent = "The server does not answer. Is 'amrbench demo' still running?";
    }
    send.disabled = false;
  });
})();
