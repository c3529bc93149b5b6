"use strict";
(() => {
  const sweeps = JSON.parse(document.getElementById("sweeps").textContent);
  const panel = document.querySelector("[data-sweep]");
  const slider = panel.querySelector("input");
  const [chooseModel, chooseControl, chooseMeasure] = panel.querySelectorAll("select");
  const figures = Object.fromEntries([...panel.querySelectorAll("figure")].map((one) => [one.dataset.which, one]));
  const plain = (name) => name.replaceAll("_", " ");
  let sound = null; // the audio context, from the first click on: browsers allow none before
  let playing = []; // oscillators

  const model = () => sweeps.models[chooseModel.value];
  const control = () => model().controls[chooseControl.value];
  const shown = (which) =>
    which === "original"
      ? model().originals[chooseMeasure.value]
      : control().measures[chooseMeasure.value][slider.value];

  function fill(select, names) {
    const before = select.value;
    select.replaceChildren(...names.map((name, place) => new Option(name, place)));
    select.value = before in names ? before : "0";
  }

  function chosen() {
    fill(chooseModel, sweeps.models.map((one) => `${one.data}: ${one.run}`));
    fill(chooseControl, model().controls.map((one) => plain(one.attribute)));
    fill(chooseMeasure, model().originals.map((_, place) => `${place + 1}`));
    slider.max = control().values.length - 1;
    draw();
  }

  function draw() {
    const { attribute, values } = control();
    const value = values[slider.value].toFixed(2);
    const told = model().is_told ? `tells the decoder ${value}` : `holds its dimension of z at ${value}`;
    panel.querySelector("[data-told]").textContent = `${plain(attribute)}: ${told}`;
    slider.setAttribute("aria-valuetext", told);
    for (const [which, figure] of Object.entries(figures)) {
      drawRow(figure, shown(which), attribute);
    }
  }

  function drawRow(figure, row, controlled) {
    const { low, high } = sweeps.pitches;
    const lines = [];
    for (let pitch = low + 12; pitch < high; pitch += 12) lines.push(`M0 ${high - pitch}H${model().frames}`);
    // A note ends a little early, so that repeated ones are seen apart.
    const notes = row.notes.map(([start, frames, pitch]) => {
      const width = frames - 0.5;
      return `M${start} ${high - 1 - pitch}h${width}v1h${-width}z`;
    });
    figure.querySelector("svg").setAttribute("viewBox", `0 0 ${model().frames} ${high - low}`);
    figure.querySelector(".octave").setAttribute("d", lines.join(""));
    figure.querySelector(".notes").setAttribute("d", notes.join(""));
    figure.querySelector("[data-notes]").textContent = `${row.notes.length} notes`;
    figure.querySelector("dl").replaceChildren(
      ...sweeps.attributes.flatMap((name, place) => {
        const [term, described, bar] = ["dt", "dd", "meter"].map((tag) => document.createElement(tag));
        term.textContent = `${plain(name)}${name === controlled ? " ▲" : ""}`;
        bar.max = sweeps.largest[place] || 1;
        bar.value = row.attributes[place];
        bar.setAttribute("aria-hidden", "true");
        described.append(bar, ` ${row.attributes[place].toFixed(2)}`);
        return [term, described];
      }),
    );
  }

  function play(which) {
    sound ??= new AudioContext();
    sound.resume();
    playing.forEach((oscillator) => oscillator.stop());
    const begin = sound.currentTime + 0.05;
    playing = shown(which).notes.map(([start, frames, pitch]) => {
      const [from, until] = [start, start + frames].map((frame) => begin + frame / sweeps.frames_per_second);
      const [oscillator, gain] = [sound.createOscillator(), sound.createGain()];
      oscillator.type = "triangle";
      oscillator.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
      gain.gain.setValueAtTime(0, from);
      gain.gain.linearRampToValueAtTime(0.25, from + 0.01);
      gain.gain.exponentialRampToValueAtTime(0.02, until);
      gain.gain.linearRampToValueAtTime(0, until + 0.02);
      oscillator.connect(gain).connect(sound.destination);
      oscillator.start(from);
      oscillator.stop(until + 0.03);
      return oscillator;
    });
  }

  [chooseModel, chooseControl, chooseMeasure].forEach((select) => select.addEventListener("change", chosen));
  slider.addEventListener("input", draw);
  slider.addEventListener("change", () => play("decoded"));
  for (const [which, figure] of Object.entries(figures)) {
    figure.querySelector("button").addEventListener("click", () => play(which));
  }
  chosen();
  slider.value = Math.floor(slider.max / 2);
  draw();
})();
