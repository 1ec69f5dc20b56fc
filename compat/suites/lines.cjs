// For mocha: a reporter with one line a test as compat/suites/run counts them, skips by the file named in
// VEDDB_SUITE_SKIPS, and connections for port 6379, which suites have written in, go to the server that is tested.
// VEDDB_SUITE_REPLACE is JSON of paths, as `require` gets them, and what stands in for each.
"use strict";
const fs = require("fs");
const net = require("net");
const Module = require("module");
const { VEDDB_SUITE_HOST: host, VEDDB_SUITE_PORT: port, VEDDB_SUITE_SKIPS: file, VEDDB_SUITE_REPLACE: replace } = process.env;

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  const args = Array.isArray(given[0]) ? given[0] : net._normalizeArgs(given);
  if (Number(args[0].port) === 6379) { args[0] = { ...args[0], host, port: Number(port) }; }
  return connect.call(this, args);
};

const replacements = JSON.parse(replace || "[]");
const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, parent, ...rest) {
  for (const [pattern, to] of replacements) {
    if (parent && !parent.filename.includes("node_modules")) { request = request.replace(new RegExp(pattern), to); }
  }
  return resolve.call(this, request, parent, ...rest);
};

const names = new Set();
const patterns = [];
for (const line of fs.readFileSync(file, "utf8").split("\n")) {
  if (line === "" || line.startsWith("#") || line.startsWith("= ")) { continue; }
  if (line.startsWith("/")) { patterns.push(new RegExp(line.slice(1))); } else { names.add(line); }
}
const skipped = (title) => names.has(title) || patterns.some((pattern) => pattern.test(title));
const oneLine = (text) => String(text).replace(/\s+/g, " ").slice(0, 300);

// Marked before anything runs, so that no hook runs for them.
const { Suite } = require(require.resolve("mocha", { paths: [process.cwd()] }));
const addTest = Suite.prototype.addTest;
Suite.prototype.addTest = function (test) {
  addTest.call(this, test);
  if (skipped(test.fullTitle())) { test.pending = true; }
  return this;
};

module.exports = class Lines {
  constructor(runner) {
    const say = (line) => process.stdout.write(`\n${line}\n`);
    let ended = false;
    runner.on("end", () => { ended = true; });
    process.on("exit", () => { if (!ended) { say("FAIL the run ended before its end"); } });
    runner.on("pass", (test) => say(`ok ${oneLine(test.fullTitle())}`));
    runner.on("fail", (test, error) => say(`FAIL ${oneLine(test.fullTitle())}: ${oneLine(error && error.message)}`));
    runner.on("pending", (test) => say(`skip ${oneLine(test.fullTitle())}`));
  }
};
