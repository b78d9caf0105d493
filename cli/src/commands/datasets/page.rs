//! A web page of items in one file: text is escaped, images are in the page.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Items with what is known of them.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) facts: Vec<String>,
    pub(super) items: Vec<Item>,
}

/// An item.
pub(super) struct Item {
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    pub(super) captions: Vec<String>,
    pub(super) figures: Vec<Figure>,
}

/// An image with a line below it.
pub(super) struct Figure {
    pub(super) caption: String,
    pub(super) png: Vec<u8>,
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width\">\n";
const STYLE: &str = "<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
h1 { font-size: 1.4em } h2 { font-size: 1em; margin: 0 }
main { display: grid; gap: 1em; grid-template-columns: repeat(auto-fill, minmax(36em, 1fr)) }
section { border: 1px solid #ccc; border-radius: 6px; padding: .8em }
.figures { display: flex; flex-wrap: wrap; gap: .6em }
figure { margin: .4em 0; width: 8em }
img { display: block; width: 8em; height: 8em; object-fit: contain; background: #eee }
figcaption { font-size: 11px; color: #555; overflow-wrap: anywhere; max-height: 4.2em; overflow: hidden }
.label { display: inline-block; background: #e6eefc; border-radius: 4px; padding: 0 .5em; margin: .2em .3em .2em 0 }
p { margin: .2em 0 }
</style>\n";

impl Page {
    /// The page as the text of one file.
    pub(super) fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut html = format!("{HEAD}<title>{title}</title>\n{STYLE}</head><body>\n<h1>{title}</h1>\n");
        for fact in &self.facts {
            let _ = writeln!(html, "<p>{}</p>", escaped(fact));
        }
        html += "<main>\n";
        self.items.iter().for_each(|item| item.write(&mut html));
        html + "</main>\n</body></html>\n"
    }
}

impl Item {
    fn write(&self, html: &mut String) {
        let _ = writeln!(html, "<section><h2>{}</h2>", escaped(&self.name));
        for label in &self.labels {
            let _ = write!(html, "<span class=\"label\">{}</span>", escaped(label));
        }
        for caption in &self.captions {
            let _ = write!(html, "<p>{}</p>", escaped(caption));
        }
        html.push_str("<div class=\"figures\">\n");
        for figure in &self.figures {
            let caption = escaped(&figure.caption);
            let image = BASE64_STANDARD.encode(&figure.png);
            let _ = writeln!(
                html,
                "<figure><img alt=\"\" src=\"data:image/png;base64,{image}\"><figcaption title=\"{caption}\">{caption}</figcaption></figure>"
            );
        }
        html.push_str("</div></section>\n");
    }
}

/// Text that means itself in HTML, in quotes, too.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_captions_are_text_whatever_they_hold() {
        let item = Item {
            name: "item 0".into(),
            labels: vec!["<b>".into()],
            captions: vec!["\"a\" & <script>alert('x')</script>".into()],
            figures: vec![Figure { caption: "\"><img>".into(), png: vec![1] }],
        };
        let html = Page { title: "<t>".into(), facts: vec![], items: vec![item] }.html();
        assert!(
            !html.contains("<script") && !html.contains("<b>") && !html.contains("<t>") && !html.contains("\"><img>")
        );
        assert!(html.contains("&quot;a&quot; &amp; &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    }
}
