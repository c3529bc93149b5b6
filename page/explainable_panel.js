"use strict";
(() => {
  const sweeps = JSON.parse(document.getElementById("sweeps").textContent);
  const panel = document.querySelector("[data-sweep]");
  const slider = panel.querySelector("input");
  const [modelSelect, controlSelect, measureSelect] = panel.querySelectorAll("select");
  const figures = Object.fromEntries([...panel.querySelectorAll("figure")].map((one) => [one.dataset.which, one]));
  const plain = (name) => name.replaceAll("_", " ");
  let audio = null; // the audio context; browsers allow none before the first click
  let playing = []; // oscillators

  const model = () => sweeps.models[modelSelect.value];
  const control = () => model().controls[controlSelect.value];
  const rowOf = (which) =>
    which === "original"
      ? model().originals[measureSelect.value]
      : control().measures[measureSelect.value][slider.value];

  function fill(select, names) {
    const before = select.value;
    select.replaceChildren(...names.map((name, index) => new Option(name, index)));
    select.value = before in names ? before : "0";
  }

  function update() {
    fill(modelSelect, sweeps.models.map((one) => `${one.data}: ${one.run}`));
    fill(controlSelect, model().controls.map((one) => plain(one.attribute)));
    fill(measureSelect, model().originals.map((_, index) => `${index + 1}`));
    slider.max = control().values.length - 1;
    draw();
  }

  function draw() {
    const { attribute, values } = control();
    const target = model().is_decoder_input ? "input of the decoder" : "dimension of z";
    const setting = `${target} set to ${values[slider.value].toFixed(2)}`;
    panel.querySelector("[data-setting]").textContent = `${plain(attribute)}: ${setting}`;
    slider.setAttribute("aria-valuetext", setting);
    for (const [which, figure] of Object.entries(figures)) {
      drawRow(figure, rowOf(which), attribute);
    }
  }

  function drawRow(figure, row, controlled) {
    const { low, high } = sweeps.pitches;
    const lines = [];
    for (let pitch = low + 12; pitch < high; pitch += 12) lines.push(`M0 ${high - pitch}H${model().frames}`);
    // A note ends half a frame early, so that repeated notes are separate.
    const notes = row.notes.map(
      ([start, frames, pitch]) => `M${start} ${high - 1 - pitch}h${frames - 0.5}v1h${0.5 - frames}z`,
    );
    figure.querySelector("svg").setAttribute("viewBox", `0 0 ${model().frames} ${high - low}`);
    figure.querySelector(".octave").setAttribute("d", lines.join(""));
    figure.querySelector(".notes").setAttribute("d", notes.join(""));
    figure.querySelector("[data-notes]").textContent = `${row.notes.length} notes`;
    figure.querySelector("dl").replaceChildren(
      ...sweeps.attributes.flatMap((name, index) => {
        const [term, description, bar] = ["dt", "dd", "meter"].map((tag) => document.createElement(tag));
        term.textContent = `${plain(name)}${name === controlled ? " ▲" : ""}`;
        bar.max = sweeps.largest[index] || 1;
        bar.value = row.attributes[index];
        bar.setAttribute("aria-hidden", "true");
        description.append(bar, ` ${row.attributes[index].toFixed(2)}`);
        return [term, description];
      }),
    );
  }

  function play(which) {
    audio ??= new AudioContext();
    audio.resume();
    playing.forEach((oscillator) => oscillator.stop());
    const begin = audio.currentTime + 0.05;
    playing = rowOf(which).notes.map(([start, frames, pitch]) => {
      const [from, until] = [start, start + frames].map((frame) => begin + frame / sweeps.frames_per_second);
      const oscillator = new OscillatorNode(audio, { type: "triangle", frequency: 440 * 2 ** ((pitch - 69) / 12) });
      const gain = new GainNode(audio, { gain: 0 });
      gain.gain.setValueAtTime(0, from);
      gain.gain.linearRampToValueAtTime(0.25, from + 0.01);
      gain.gain.exponentialRampToValueAtTime(0.02, until);
      gain.gain.linearRampToValueAtTime(0, until + 0.02);
      oscillator.connect(gain).connect(audio.destination);
      oscillator.start(from);
      oscillator.stop(until + 0.03);
      return oscillator;
    });
  }

  [modelSelect, controlSelect, measureSelect].forEach((select) => select.addEventListener("change", update));
  slider.addEventListener("input", draw);
  slider.addEventListener("change", () => play("decoded"));
  for (const [which, figure] of Object.entries(figures)) {
    figure.querySelector("button").addEventListener("click", () => play(which));
  }
  update();
  slider.value = Math.floor(slider.max / 2);
  draw();
})();
