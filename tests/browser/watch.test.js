// The page of `hashlab watch` while its sweep gets further. `HASHLAB` is the program.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

import { launch } from "./browser.js";

const program = resolve(process.env.HASHLAB ?? "hashlab");
const experiment = `dataset = "shapes"
bits = [8]
seeds = [0, 1]

[data]
items = 300
size = 16

[image]
encoder = "filterbank"
image_size = 16

[[method]]
name = "itq"
`;

let folder, server, address, browser;
const run = (...args) => execFileSync(program, args, { cwd: folder, stdio: ["ignore", "pipe", "ignore"] }).toString();

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "hashlab-watch-"));
  writeFileSync(join(folder, "tiny.toml"), experiment);
  run("sweep", "tiny.toml");
  server = spawn(program, ["watch", "tiny", "--port", "0"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  address = await new Promise((found, failed) => {
    server.stdout.on("data", (line) => found(/http:\S+\//.exec(line)[0]));
    server.on("exit", () => failed(new Error("the server ended")));
  });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.kill();
  rmSync(folder, { recursive: true, force: true });
});

test("the page follows its sweep, and waits for a reader", async () => {
  const page = await browser.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => request.url().startsWith(address) || request.url().startsWith("data:") || complaints.push(request.url()));
  await page.goto(address);
  assert.match(await page.locator(".counts").textContent(), /2 finished/);
  const ids = run("plan", "tiny.toml").split("\n").slice(1, 3).map((line) => line.trim().split(/\s+/)[0]);

  // A reader who filters is not disturbed.
  await page.locator("#table-of-runs input").fill("itq");
  run("rm", ids[0], "--yes");
  await page.getByText("new results come when").waitFor({ timeout: 10_000 });
  assert.match(await page.locator(".counts").textContent(), /2 finished/);
  await page.locator("#table-of-runs input").fill("");
  await page.waitForFunction(() => /1 finished/.test(document.querySelector(".counts").textContent), null, { timeout: 10_000 });

  run("sweep", "tiny.toml");
  await page.waitForFunction(() => /2 finished/.test(document.querySelector(".counts").textContent), null, { timeout: 10_000 });
  assert.deepEqual(complaints, [], "no console error, no request elsewhere");

  server.removeAllListeners("exit");
  server.kill();
  await page.getByText("no longer live").waitFor({ timeout: 10_000 });
});
