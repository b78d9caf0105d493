// The page of `hashlab serve` as its user meets it. `HASHLAB` is the program.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { launch } from "./browser.js";

const program = resolve(process.env.HASHLAB ?? "hashlab");

// Images and captions under encoders without training: the tests are about the page.
const experiment = `dataset = "shapes"
bits = [8]
seeds = [0]

[data]
items = 300
size = 16

[image]
encoder = "filterbank"
image_size = 16

[text]
encoder = "minilm"
weights = "small/model.safetensors"

[[method]]
name = "cca_itq"
`;
const words = "[PAD] [UNK] [CLS] [SEP] [MASK] a and , red green blue yellow purple circle square triangle star".split(" ");

/** A BERT of one block with weights that look random, as a safetensors file. */
function bert() {
  const [dim, hidden, block] = [384, 48, "encoder.layer.0"];
  const shapes = { "embeddings.word_embeddings": [words.length, dim], "embeddings.position_embeddings": [64, dim], "embeddings.token_type_embeddings": [2, dim] };
  for (const part of ["self.query", "self.key", "self.value", "output.dense"]) shapes[`${block}.attention.${part}`] = [dim, dim];
  Object.assign(shapes, { [`${block}.intermediate.dense`]: [hidden, dim], [`${block}.output.dense`]: [dim, hidden] });
  for (const norm of ["embeddings", `${block}.attention.output`, `${block}.output`]) shapes[`${norm}.LayerNorm`] = [dim];
  const [header, parts] = [{}, []];
  let end = 0;
  const add = (name, shape, value) => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, at) => value(at));
    header[name] = { dtype: "F32", shape, data_offsets: [end, (end += values.byteLength)] };
    parts.push(Buffer.from(values.buffer));
  };
  for (const [name, shape] of Object.entries(shapes)) {
    add(`${name}.weight`, shape, shape.length === 1 ? () => 1 : (at) => 0.1 * Math.sin(at * 12.9898 + name.length));
    if (!name.endsWith("embeddings")) add(`${name}.bias`, shape.slice(0, 1), () => 0);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...parts]);
}

/** A picture of 16 × 16 pixels of one color, as a BMP file. */
function bitmap(blue, green, red) {
  const head = Buffer.alloc(54);
  head.write("BM");
  head.writeUInt32LE(54 + 768, 2);
  head.writeUInt32LE(54, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(16, 18);
  head.writeInt32LE(16, 22);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(24, 28);
  const pixel = (at) => (at % 16 < 5 ? [200, 200, 200] : [blue, green, red]);
  return Buffer.concat([head, Buffer.from(Array.from({ length: 256 }, (_, at) => pixel(at)).flat())]);
}

let folder, server, address, browser, page, context, complaints;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "hashlab-serve-"));
  const run = (...args) => execFileSync(program, args, { cwd: folder, stdio: ["ignore", "pipe", "ignore"] });
  mkdirSync(join(folder, "data/weights/small"), { recursive: true });
  mkdirSync(join(folder, "photos"));
  writeFileSync(join(folder, "tiny.toml"), experiment);
  writeFileSync(join(folder, "data/weights/small/model.safetensors"), bert());
  writeFileSync(join(folder, "data/weights/small/vocab.txt"), words.join("\n") + "\n");
  const colors = { blue: [255, 0, 0], green: [0, 200, 0], red: [0, 0, 255], '<b>"odd"': [0, 250, 250] };
  for (const [name, color] of Object.entries(colors)) writeFileSync(join(folder, `photos/${name}.bmp`), bitmap(...color));
  run("sweep", "tiny.toml");
  run("index", "tiny", "photos", "--out", "photos.index");
  server = spawn(program, ["serve", "photos.index", "--port", "0"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
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

describe("the page of an index", () => {
  beforeEach(async () => {
    context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    page = await context.newPage();
    complaints = [];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("request", (request) => /^(blob:)?http:\/\/127\.0\.0\.1:/.test(request.url()) || complaints.push(request.url()));
    await page.goto(address);
  });
  afterEach(async () => {
    assert.deepEqual(complaints, [], "no console error, no request elsewhere");
    await context.close();
  });

  const names = () => page.$$eval("#results li .name", (all) => all.map((name) => name.textContent));
  const loaded = () => page.waitForFunction(() => {
    const pictures = Array.from(document.querySelectorAll("#results img"));
    return pictures.length === 4 && pictures.every((picture) => picture.complete && picture.naturalWidth > 0);
  });

  test("a text finds pictures", async () => {
    await page.getByLabel("Text").fill("a red circle");
    await page.getByRole("button", { name: "Search" }).click();
    await loaded();
    assert.ok((await names()).includes("photos/red.bmp"));
    assert.equal(await page.getByLabel("Text").inputValue(), "a red circle");
    assert.equal(await page.$("#results b"), null, "names are text");
  });

  test("a chosen picture finds itself first", async () => {
    await page.locator("#image").setInputFiles(join(folder, "photos/green.bmp"));
    await loaded();
    assert.match(await page.locator("#results li").first().textContent(), /distance 0/);
    assert.ok(await page.locator("#preview").isVisible());
  });

  test("a dropped picture is searched for", async () => {
    const bytes = Array.from(bitmap(255, 0, 0));
    await page.evaluate((bytes) => {
      const dropped = new DataTransfer();
      dropped.items.add(new File([new Uint8Array(bytes)], "a.bmp"));
      document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
    }, bytes);
    await loaded();
    assert.match(await page.locator("#results li").first().textContent(), /distance 0/);
  });

  test("a file that is no picture is refused in words", async () => {
    await page.locator("#image").setInputFiles({ name: "notes.txt", mimeType: "image/png", buffer: Buffer.from("no picture") });
    await page.waitForFunction(() => document.getElementById("message").textContent !== "");
    assert.match(await page.locator("#message").textContent(), /the image: .*format/);
    complaints = complaints.filter((line) => !line.includes("400 (Bad Request)")); // the browser's own word about it
  });

  test("both themes and a narrow window show everything", async () => {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width: 360, height: 700 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      assert.equal(overflow, false, colorScheme);
    }
  });
});
