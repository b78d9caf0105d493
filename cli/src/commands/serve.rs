//! `hashlab serve`: an index behind a page on this machine's loopback interface.

use std::process::ExitCode;

use anyhow::Result;
use hashlab_image::thumbnail;

use super::search::json;
use crate::args::ServeArgs;
use crate::context::Context;
use crate::exit::{bad_input, one_line};
use crate::retrieval::page::{self, Pictures, SIDE};
use crate::retrieval::searcher::{Found, Searcher, with_searcher};
use crate::server::{Request, Response, listen, serve};

pub(crate) fn run(context: &Context, args: &ServeArgs) -> Result<ExitCode> {
    let device = args.device.name.open()?;
    with_searcher(&context.workspace, &args.index, &device, |searcher| {
        let listener = listen(&args.index.display(), args.port, args.open)?;
        let site = Site { searcher, top: args.top.get() };
        Ok(serve(&listener, |request| site.answer(request))?)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The pages of an index.
struct Site<'a> {
    searcher: &'a Searcher<'a>,
    top: usize,
}

impl Site<'_> {
    fn answer(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") => self.page(request),
            ("GET", "/search") => self.reply(self.text(request).map(|found| json(self.searcher, &found))),
            ("POST", "/search") => self.reply(self.image(request).map(|found| json(self.searcher, &found))),
            ("POST", "/results") => match self.image(request).and_then(|found| page::results(self.searcher, &found)) {
                Ok(html) => Response::html(html),
                Err(error) => Response::refusal(400, &one_line(&error)),
            },
            ("GET", path) => match path.strip_prefix("/picture/").and_then(|item| item.parse().ok()) {
                Some(item) => self.picture(item),
                None => Response::refusal(404, "there is no such page"),
            },
            _ => Response::refusal(405, "the page is read with GET, and images are sent with POST"),
        }
    }

    /// The page, with the results of the text that its address holds.
    fn page(&self, request: &Request) -> Response {
        let found = match request.parameter("text") {
            None | Some("") => None,
            Some(_) => Some(self.text(request)),
        };
        match page::of_site(self.searcher, found, Pictures::Served) {
            Ok(html) => Response::html(html),
            Err(error) => Response::refusal(500, &one_line(&error)),
        }
    }

    fn text(&self, request: &Request) -> Result<Found> {
        let text = request.parameter("text").unwrap_or_default();
        self.searcher.text(text, self.top(request)?)
    }

    fn image(&self, request: &Request) -> Result<Found> {
        self.searcher.image("the image", &request.body, self.top(request)?)
    }

    /// Number of results that a request asks for.
    fn top(&self, request: &Request) -> Result<usize> {
        let Some(top) = request.parameter("top") else { return Ok(self.top) };
        let most = self.searcher.index.items().len();
        top.parse()
            .map(|top: usize| top.min(most))
            .map_err(|_| bad_input(format!("`top` must be a number, got `{top}`")))
    }

    fn reply(&self, found: Result<serde_json::Value>) -> Response {
        match found {
            Ok(found) => Response::json(200, &found),
            Err(error) => Response::json(400, &serde_json::json!({ "error": one_line(&error) })),
        }
    }

    /// A picture of an item. Items alone are read: a request names a position, no path.
    fn picture(&self, item: usize) -> Response {
        let Some(path) = self.searcher.index.image(item) else {
            return Response::refusal(404, "there is no such picture");
        };
        let picture = || {
            let image = self.searcher.decode(&std::fs::read(path)?)?;
            anyhow::Ok(thumbnail(&image, SIDE)?)
        };
        picture().map_or_else(|error| Response::refusal(404, &one_line(&error)), Response::jpeg)
    }
}
