#!/usr/bin/env node
// Runs the program for this platform, which npm installed as a package of its own.
"use strict";
const { spawn } = require("node:child_process");

const name = `@watchword/cli-${process.platform}-${process.arch}`;
let program;
try {
  program = require.resolve(`${name}/bin/watchword${process.platform === "win32" ? ".exe" : ""}`);
} catch {
  console.error(`watchword: the package ${name} is not installed. Either there is no program for this platform, or
npm was told to leave out optional dependencies: install again without --omit=optional.`);
  process.exit(1);
}

const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"]) process.on(signal, () => child.kill(signal));
// Who ends npx ends the shell between it and this launcher, and nobody tells the launcher.
const parent = process.ppid;
const watch = process.env.npm_command && setInterval(() => {
  if (process.ppid === parent) return;
  clearInterval(watch);
  child.kill("SIGTERM");
}, 500);
child.on("error", (err) => {
  console.error(`watchword: ${err.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
