// The program of c/replay.c through WebAssembly: the same bytes.
//
//     node replay.mjs alrc.wasm TRACE.csv RESULTS.bin [PARAMETER=VALUE ...]
//
// The module imports nothing and allocates nothing: structs and buffers are places in its memory that the caller
// chooses, here pages added at its end.
import { readFileSync, writeFileSync } from "node:fs";

const [modulePath, tracePath, resultsPath, ...overrides] = process.argv.slice(2);
if (!resultsPath) {
  console.error("usage: node replay.mjs alrc.wasm TRACE.csv RESULTS.bin [PARAMETER=VALUE ...]");
  process.exit(2);
}
const { instance } = await WebAssembly.instantiate(readFileSync(modulePath), {});
const library = instance.exports;
const memory = library.memory;

const PAGE = 65536;
const SNAPSHOT_LEN = 100;
let end = memory.grow(2) * PAGE;
/** The address of `size` new bytes. */
function place(size) {
  const address = end;
  end += Math.ceil(size / 8) * 8;
  if (end > memory.buffer.byteLength) throw new Error("no room is left in the pages");
  return address;
}

function check(status) {
  if (status === 0) return;
  const message = new Uint8Array(memory.buffer, library.alrc_status_message(status));
  throw new Error(new TextDecoder().decode(message.slice(0, message.indexOf(0))));
}

function readParameters(words) {
  const pairs = words.map((word) => word.split("=")).filter((pair) => pair.length === 2);
  return Object.fromEntries(pairs.map(([name, value]) => [name, Number(value)]));
}

/** "nan", "inf" and "-inf" as C writes them. */
function number(text) {
  return Number(text.replace("inf", "Infinity").replace("nan", "NaN"));
}

/** The losses of each step. */
function readBatches(lines) {
  const batches = [];
  let last;
  for (const line of lines) {
    const [step, , loss] = line.split(",");
    if (step !== last) batches.push([]);
    last = step;
    batches.at(-1).push(number(loss));
  }
  return batches;
}

/** The fields of the configuration in order: numbers of the type, then integers of 4 bytes. */
const NUMBERS = ["num_stddev", "num_stddev_below", "decay1", "decay2", "mu1_start", "mu2_start", "epsilon"];
const INTEGERS = ["warm_up_steps", "scaling", "non_finite"];

function writeConfig(config, { decay, ...parameters }, type) {
  const view = new DataView(memory.buffer, config);
  for (const [name, value] of Object.entries({ decay1: decay, decay2: decay, ...parameters })) {
    if (NUMBERS.includes(name)) type.set(view, NUMBERS.indexOf(name) * type.size, value);
    if (INTEGERS.includes(name)) {
      view.setUint32(NUMBERS.length * type.size + INTEGERS.indexOf(name) * 4, value, true);
    }
  }
}

function replay(type, parameters, batches, results) {
  const call = (name, ...values) => check(library[`alrc_${type.name}_${name}`](...values));
  const largest = Math.max(...batches.map((batch) => batch.length)) * type.size;
  const [losses, clipped, scales] = [place(largest), place(largest), place(largest)];
  // No struct is larger than 128 bytes.
  const [config, whole, parts, single, report] = Array.from({ length: 5 }, () => place(128));
  const [limits, sums, rest, pair, bytes] = Array.from({ length: 5 }, () => place(128));
  const write = (address, size) => results.push(new Uint8Array(memory.buffer, address, size).slice());

  call("config_default", config);
  writeConfig(config, parameters, type);
  for (const state of [whole, parts, single]) call("init", state, config);

  for (const batch of batches) {
    const len = batch.length;
    const half = Math.floor(len / 2);
    const at = half * type.size;
    new type.Array(memory.buffer, losses, len).set(batch);

    // The whole batch in one call.
    call("step_batch", whole, losses, clipped, scales, len, report);
    write(clipped, len * type.size);
    write(scales, len * type.size);
    write(report, 16 + 2 * type.size + 4);
    call("moments", whole, pair, pair + type.size);
    write(pair, 2 * type.size);

    // In two parts, the second in place, in a state that is saved and loaded between steps.
    call("limits", parts, limits);
    call("clip", limits, losses, clipped, scales, half, sums);
    new Uint8Array(memory.buffer).copyWithin(clipped + at, losses + at, losses + len * type.size);
    call("clip", limits, clipped + at, clipped + at, scales + at, len - half, rest);
    call("sums_merge", sums, rest);
    call("update", parts, sums);
    call("save", parts, bytes, SNAPSHOT_LEN);
    call("load", parts, bytes, SNAPSHOT_LEN);
    write(clipped, len * type.size);
    write(scales, len * type.size);
    write(bytes, SNAPSHOT_LEN);

    // One loss after the other.
    for (const loss of batch) {
      call("step", single, loss, pair, pair + type.size);
      write(pair, 2 * type.size);
    }
    call("save", single, bytes, SNAPSHOT_LEN);
    write(bytes, SNAPSHOT_LEN);
  }
}

const [first, , ...lines] = readFileSync(tracePath, "utf8").split(/\r?\n/).filter((line) => line !== "");
const parameters = readParameters([...first.split(" "), ...overrides]);
const batches = readBatches(lines);
const types = [
  { name: "f32", size: 4, Array: Float32Array, set: (view, at, value) => view.setFloat32(at, value, true) },
  { name: "f64", size: 8, Array: Float64Array, set: (view, at, value) => view.setFloat64(at, value, true) },
];
const results = [];
for (const type of types) replay(type, parameters, batches, results);
writeFileSync(resultsPath, Buffer.concat(results));
