//! Collections that are indexed with a trained model, and searched from the command line and over HTTP.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use hashlab_image::{Exif, Rgb, decode_with, png, thumbnail};
use serde_json::Value;

use crate::lab::{FILE, Lab, NAME, Started};
use crate::npy::Array;
use crate::texts::{WORDS, weights};

/// A linear method on images and captions.
const PAIRS: &str = r#"dataset = "shapes"
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
"#;

const COLORS: [(&str, [u8; 3]); 4] =
    [("blue", [0, 0, 255]), ("green", [0, 200, 0]), ("red", [255, 0, 0]), ("yellow", [250, 250, 0])];

/// A lab with a finished sweep, four pictures and a file that is none.
fn lab() -> Lab {
    let lab = Lab::with(PAIRS);
    fs::create_dir_all(lab.path("data/weights/small")).unwrap();
    candle_core::safetensors::save(&weights(), lab.path("data/weights/small/model.safetensors")).unwrap();
    lab.write("data/weights/small/vocab.txt", WORDS);
    fs::create_dir_all(lab.path("photos/more")).unwrap();
    for (at, (name, color)) in COLORS.into_iter().enumerate() {
        let folder = if at < 2 { "photos" } else { "photos/more" };
        let inside = |x: usize, y: usize| (4..12 - at).contains(&x) && (4 + at..12).contains(&y);
        let pixel = |i: usize| if inside(i % 16, i / 16) { color } else { [90, 90, 90] };
        let image = Rgb { width: 16, height: 16, pixels: (0..256).flat_map(pixel).collect() };
        lab.write(&format!("{folder}/{name}.png"), png(&image));
    }
    lab.write("photos/broken.jpg", "no image");
    lab.ok(&["sweep", FILE]);
    lab
}

const INDEX: [&str; 5] = ["index", NAME, "photos", "--out", "photos.index"];

#[test]
fn a_collection_is_indexed_once_and_found_by_images_and_texts() {
    let lab = lab();
    let first = lab.run(&INDEX);
    assert_eq!(first.stdout, "photos.index: 4 images; 4 added, 0 in it before, 1 left out\n", "{first:#?}");
    assert!(first.stderr.contains("left out: ") && first.stderr.contains("photos/broken.jpg: "), "{first:#?}");
    assert_eq!(lab.run(&INDEX).stdout, "photos.index: 4 images; 0 added, 4 in it before, 1 left out\n");
    let codes = Array::read(&lab, "photos.index/codes.npy");
    assert_eq!((codes.shape.as_slice(), codes.u8().len()), ([4, 1].as_slice(), 4));

    let by_image =
        lab.ok(&["search", "photos.index", "--image", "photos/more/red.png", "--format", "json", "--html", "a.html"]);
    let by_image: Value = serde_json::from_str(&by_image).unwrap();
    let nearest = &by_image["results"][0];
    assert_eq!(nearest["distance"], 0);
    assert!(nearest["image"].as_str().unwrap().ends_with(".png"), "{by_image}");
    let page = lab.read("a.html");
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), 4, "{page}");
    assert!(!page.contains("<script") && page.contains("default-src 'none'"), "{page}");

    let by_text = lab.ok(&["search", "photos.index", "--text", "a red circle", "--top", "2"]);
    assert_eq!(by_text.lines().count(), 3, "{by_text}");
    assert!(by_text.starts_with("rank  distance  item\n   1  "), "{by_text}");
}

/// A photo that a camera noted as lying on its side.
fn on_its_side() -> Vec<u8> {
    let stripes =
        Rgb { width: 16, height: 16, pixels: (0..768).map(|i| if i / 3 % 16 < 5 { 250 } else { 20 }).collect() };
    let jpeg = thumbnail(&stripes, 16).unwrap();
    let noted = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    [&jpeg[..2], noted, &jpeg[2..]].concat()
}

#[test]
fn photos_are_turned_upright_on_request_and_counted() {
    let lab = lab();
    fs::create_dir(lab.path("camera")).unwrap();
    lab.write("camera/side.jpg", on_its_side());
    lab.write("camera/upright.png", png(&decode_with(&on_its_side(), Exif::Apply).unwrap()));
    let turned = ["index", NAME, "camera", "--out", "turned.index", "--exif", "apply"];
    assert_eq!(lab.ok(&turned), "turned.index: 2 images; 2 added, 0 in it before, 1 turned upright\n");
    assert_eq!(lab.ok(&turned), "turned.index: 2 images; 0 added, 2 in it before\n");
    let same = Array::read(&lab, "turned.index/codes.npy");
    assert_eq!(same.u8()[0], same.u8()[1], "the same pixels");
    let query = ["search", "turned.index", "--image", "camera/side.jpg", "--format", "json", "--html", "a.html"];
    let found: Value = serde_json::from_str(&lab.ok(&query)).unwrap();
    assert_eq!([&found["results"][0]["distance"], &found["results"][1]["distance"]], [0, 0], "{found}");

    assert_eq!(
        lab.ok(&["index", NAME, "camera", "--out", "stored.index"]),
        "stored.index: 2 images; 2 added, 0 in it before\n"
    );
    let different = Array::read(&lab, "stored.index/codes.npy");
    assert_ne!(different.u8()[0], different.u8()[1], "as it lies");
    let refused = lab.refused(&["index", NAME, "camera", "--out", "turned.index"]);
    assert!(refused.contains("turned upright"), "{refused}");
    let texts = lab.refused(&["index", NAME, "--texts", FILE, "--exif", "apply", "--out", "b.index"]);
    assert!(texts.contains("--exif"), "{texts}");
}

#[test]
fn texts_are_a_collection_too() {
    let lab = lab();
    lab.write("captions.txt", "a red circle\na blue star\n\na red circle\n");
    let made = lab.ok(&["index", NAME, "--texts", "captions.txt", "--out", "texts.index"]);
    assert_eq!(made, "texts.index: 2 texts; 2 added, 0 in it before\n");
    let found = lab.ok(&["search", "texts.index", "--text", "a blue star", "--top", "1"]);
    assert!(found.ends_with("a blue star\n"), "{found}");
    assert_eq!(lab.ok(&["search", "texts.index", "--image", "photos/blue.png"]).lines().count(), 3);
}

#[test]
fn what_cannot_be_indexed_or_searched_is_refused() {
    let lab = lab();
    lab.ok(&INDEX);
    let broken = lab.refused(&["index", NAME, "photos/broken.jpg", "--out", "b.index", "--unreadable", "fail"]);
    assert!(broken.contains("broken.jpg") && broken.contains("--unreadable skip"), "{broken}");
    let texts = lab.refused(&["index", NAME, "--texts", "none.txt", "--out", "b.index"]);
    assert!(texts.contains("cannot read none.txt"), "{texts}");
    let both = lab.refused(&["index", NAME, "--texts", FILE, "--out", "photos.index"]);
    assert!(both.contains("codes have nothing in common") && both.contains("--out"), "{both}");
    let unknown = lab.refused(&["index", "tinny", "photos", "--out", "b.index"]);
    assert!(unknown.contains("there is no sweep `tinny`") && unknown.contains("tiny"), "{unknown}");
    let absent = lab.refused(&["search", "photos", "--text", "a"]);
    assert!(absent.contains("photos is no index"), "{absent}");
    let image = lab.refused(&["search", "photos.index", "--image", "photos/broken.jpg"]);
    assert!(image.contains("photos/broken.jpg: "), "{image}");
    assert!(lab.refused(&["search", "photos.index"]).contains("--text"));

    let facts = lab.read("photos.index/index.json");
    let model = facts.split("\"model\": \"").nth(1).unwrap()[..8].to_owned();
    lab.write("photos.index/index.json", facts.replace(&model, "00000000"));
    let other = lab.refused(&["search", "photos.index", "--text", "a red circle"]);
    assert!(other.contains("trained again since"), "{other}");

    // A model of images alone takes no texts.
    let images = PAIRS.replace("[text]\nencoder = \"minilm\"\nweights = \"small/model.safetensors\"\n\n", "");
    lab.write("images.toml", images.replace("cca_itq", "itq"));
    lab.ok(&["sweep", "images.toml"]);
    lab.ok(&["index", "images", "photos", "--out", "images.index"]);
    let text = lab.refused(&["search", "images.index", "--text", "a red circle"]);
    assert!(text.contains("encodes images, not texts"), "{text}");
}

/// Sends a request, and returns the answer's head and body.
fn ask(port: u16, request: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
}

#[test]
fn an_index_is_served_on_this_machine() {
    let lab = lab();
    lab.ok(&INDEX);
    let mut command = lab.command(&["serve", "photos.index", "--port", "0"]);
    let said = fs::File::create(lab.path("said")).unwrap();
    command.stdout(said);
    let _server = Started::of(command);
    crate::lab::until("the address", || lab.read("said").contains('\n'));
    let port = lab.read("said").split(&[':', '/']).find_map(|part| part.parse().ok()).unwrap();

    let (head, page) = ask(port, "GET /?text=a+red+circle", b"");
    let page = String::from_utf8(page).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(page.contains("src=\"/picture/") && page.contains("a red circle"), "{page}");
    let (_, escaped) = ask(port, "GET /?text=%3Cb%3Ered", b"");
    assert!(!String::from_utf8(escaped).unwrap().contains("<b>red"));

    let (_, found) = ask(port, "GET /search?text=a+red+circle&top=2", b"");
    let found: Value = serde_json::from_slice(&found).unwrap();
    assert_eq!(found["results"].as_array().unwrap().len(), 2, "{found}");
    let (_, found) = ask(port, "POST /search", &fs::read(lab.path("photos/blue.png")).unwrap());
    let found: Value = serde_json::from_slice(&found).unwrap();
    assert_eq!(found["results"][0]["distance"], 0, "{found}");

    let (head, picture) = ask(port, "GET /picture/0", b"");
    assert!(head.contains("image/jpeg") && picture.starts_with(&[0xff, 0xd8]), "{head}");
    for (request, status) in [
        ("GET /picture/99", "404"),
        ("GET /picture/../index.json", "404"),
        ("GET /etc/passwd", "404"),
        ("POST /search", "400"),
        ("GET /search?text=", "400"),
        ("GET /search?text=a&top=many", "400"),
        ("DELETE /", "405"),
    ] {
        let (head, _) = ask(port, request, b"");
        assert_eq!(head.get(9..12), Some(status), "{request}: {head}");
    }
}
