//! The picture of a sweep in the terminal: a list of runs above the curves, or the log, of the chosen one.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::{Marker, border};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Cell, Chart, Dataset, GraphType, Paragraph, Row as TableRow, Table, TableState};

use super::overview::{Curves, Overview, Row};

/// Abilities of the terminal that the picture uses.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) colors: bool,
    pub(super) utf8: bool,
}

/// What is shown of the chosen run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Pane {
    #[default]
    Curves,
    Log,
}

impl Pane {
    /// The other one.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Curves => Self::Log,
            Self::Log => Self::Curves,
        }
    }
}

/// States in the order in which the head counts them.
const STATES: [&str; 6] = ["finished", "running", "failed", "stopped", "interrupted", "missing"];

/// Draws a sweep.
pub(super) fn draw(frame: &mut Frame<'_>, overview: &Overview, pane: Pane, look: Look) {
    let [head, list, details, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(3), Constraint::Fill(2), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(head_line(overview, look), head);
    draw_runs(frame, list, overview, look);
    match pane {
        Pane::Curves if look.utf8 => draw_curves(frame, details, overview, look),
        Pane::Curves => draw_values(frame, details, overview, look),
        Pane::Log => draw_log(frame, details, overview, look),
    }
    let arrows = if look.utf8 { "↑ ↓" } else { "up, down" };
    let other = if pane == Pane::Curves { "log" } else { "curves" };
    frame.render_widget(Line::from(format!(" {arrows}: choose a run   tab: {other}   q: quit")), keys);
}

/// The name of the sweep, and how many runs are in each state.
fn head_line(overview: &Overview, look: Look) -> Line<'static> {
    let mut spans = vec![Span::styled(format!(" {}", overview.sweep), Modifier::BOLD)];
    for state in STATES {
        let count = overview.count(state);
        if count > 0 {
            spans.push(Span::raw("   "));
            spans.push(Span::styled(format!("{count} {state}"), look.of(state)));
        }
    }
    Line::from(spans)
}

impl Look {
    /// The style of a state.
    fn of(self, state: &str) -> Style {
        if !self.colors {
            return Style::new();
        }
        match state {
            "finished" => Style::new().fg(Color::Green),
            "running" => Style::new().fg(Color::Cyan),
            "failed" => Style::new().fg(Color::Red),
            "stopped" | "interrupted" => Style::new().fg(Color::Yellow),
            _ => Style::new().add_modifier(Modifier::DIM),
        }
    }

    fn block(self, title: String) -> Block<'static> {
        let plain = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        Block::bordered().border_set(if self.utf8 { border::PLAIN } else { plain }).title(title)
    }
}

fn draw_runs(frame: &mut Frame<'_>, area: Rect, overview: &Overview, look: Look) {
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let number = |value: Option<f64>, digits: usize| value.map_or(String::new(), |value| format!("{value:.digits$}"));
    let line = |row: &Row| {
        let epoch = if row.epoch > 0 { row.epoch.to_string() } else { String::new() };
        TableRow::new([
            Cell::from(row.state).style(look.of(row.state)),
            Cell::from(row.label.clone()),
            right(row.bits.to_string()),
            right(row.seed.to_string()),
            right(epoch),
            right(number(row.loss, 4)),
            right(number(row.validation, 3)),
            Cell::from(if row.message.is_empty() { row.id.to_string() } else { row.message.clone() }),
        ])
    };
    let label = overview.rows.iter().map(|row| Line::from(row.label.as_str()).width()).max().unwrap_or(0).clamp(6, 30);
    let widths = [11, label as u16, 4, 4, 5, 8, 10].map(Constraint::Length);
    let widths = widths.into_iter().chain([Constraint::Fill(1)]);
    let numbers = ["bits", "seed", "epoch", "loss", "validation"].map(|name| right(name.to_owned()));
    let names = ["state", "row"].map(Cell::from).into_iter().chain(numbers).chain([Cell::from("run")]);
    let title = format!(" {} of {} ", (overview.chosen + 1).min(overview.rows.len()), overview.rows.len());
    let table = Table::new(overview.rows.iter().map(line), widths)
        .header(TableRow::new(names).style(Modifier::BOLD))
        .row_highlight_style(Modifier::REVERSED)
        .block(look.block(title));
    // The table scrolls by itself to keep the chosen line in view.
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(overview.chosen));
}

/// Loss and validation side by side: their values have no scale in common.
fn draw_curves(frame: &mut Frame<'_>, area: Rect, overview: &Overview, look: Look) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    let color = |color| if look.colors { Style::new().fg(color) } else { Style::new() };
    let curves = &overview.curves;
    draw_curve(frame, left, ("loss", &curves.loss), color(Color::Yellow), look);
    draw_curve(frame, right, ("validation", &curves.validation), color(Color::Cyan), look);
}

/// The last values, for a terminal without the characters of which curves are drawn.
fn draw_values(frame: &mut Frame<'_>, area: Rect, overview: &Overview, look: Look) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    let Curves { loss, validation } = &overview.curves;
    for (area, name, points) in [(left, "loss", loss), (right, "validation", validation)] {
        let lines = usize::from(area.height).saturating_sub(2);
        let last = points[points.len().saturating_sub(lines)..].iter();
        let text: Vec<Line<'_>> = last.map(|(epoch, value)| Line::from(format!("epoch {epoch}: {value:.4}"))).collect();
        frame.render_widget(Paragraph::new(text).block(look.block(format!(" {name} "))), area);
    }
}

fn draw_curve(frame: &mut Frame<'_>, area: Rect, (name, points): (&str, &[(f64, f64)]), style: Style, look: Look) {
    let block = look.block(format!(" {name} "));
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        frame.render_widget(Paragraph::new(format!("no {name} yet")).block(block), area);
        return;
    };
    let (low, high) = points.iter().fold((f64::MAX, f64::MIN), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
    // A curve of equal values is a line in the middle.
    let margin = if high > low { 0.0 } else { low.abs().max(1.0) * 0.1 };
    let (low, high) = (low - margin, high + margin);
    let span = [first.0.min(last.0 - 1.0), last.0];
    let line = Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line).style(style).data(points);
    let x_labels = span.map(|epoch| format!("epoch {epoch:.0}"));
    let y_labels = [low, high].map(|value| format!("{value:.3}"));
    let chart = Chart::new(vec![line])
        .block(block)
        .x_axis(Axis::default().bounds(span).labels(x_labels))
        .y_axis(Axis::default().bounds([low, high]).labels(y_labels));
    frame.render_widget(chart, area);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, overview: &Overview, look: Look) {
    let title = overview.rows.get(overview.chosen).map_or_else(String::new, |row| format!(" log of {} ", row.id));
    let lines = usize::from(area.height).saturating_sub(2);
    let tail = &overview.log[overview.log.len().saturating_sub(lines)..];
    let text: Vec<Line<'_>> = match tail {
        [] => vec![Line::from("the run has written nothing yet")],
        // A control character of a log could move the cursor.
        lines => lines.iter().map(|line| Line::from(line.replace(char::is_control, " "))).collect(),
    };
    frame.render_widget(Paragraph::new(text).block(look.block(title)), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::overview::tests::row;
    use super::*;

    fn overview() -> Overview {
        let points = |f: fn(f64) -> f64| (1..=20).map(|epoch| (f64::from(epoch), f(f64::from(epoch)))).collect();
        Overview {
            sweep: "cifar10".to_owned(),
            rows: vec![
                row("cibhash-b64-s0-1f0c2a9b7d3e", "finished", 60),
                row("cibhash-b64-s1-2f0c2a9b7d3e", "running", 20),
                row("cibhash-b64-s2-3f0c2a9b7d3e", "failed", 3),
                row("cibhash-b64-s3-4f0c2a9b7d3e", "missing", 0),
            ],
            chosen: 1,
            curves: Curves { loss: points(|x| 3.0 / x), validation: points(|x| 1.0 - 1.0 / x) },
            log: vec!["first line".to_owned(), "a bell\u{7} and an escape\u{1b}[2J".to_owned()],
        }
    }

    fn drawn(overview: &Overview, size: (u16, u16), pane: Pane, utf8: bool) -> String {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        let look = Look { colors: false, utf8 };
        terminal.draw(|frame| draw(frame, overview, pane, look)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
        cells.chunks(usize::from(size.0)).map(|line| line.concat().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn runs_and_curves() {
        insta::assert_snapshot!(drawn(&overview(), (100, 30), Pane::Curves, true));
    }

    #[test]
    fn a_terminal_without_utf8() {
        let pictures = [Pane::Curves, Pane::Log].map(|pane| drawn(&overview(), (80, 20), pane, false));
        assert!(pictures.iter().all(|text| text.is_ascii()), "{pictures:?}");
        insta::assert_snapshot!(pictures.concat());
    }

    #[test]
    fn every_size_and_state_is_drawn() {
        let mut without_curves = overview();
        without_curves.curves = Curves::default();
        let mut flat = overview();
        flat.curves = Curves { loss: vec![(1.0, 2.0)], validation: vec![(1.0, 0.5), (2.0, 0.5)] };
        for overview in [&Overview::default(), &without_curves, &flat, &overview()] {
            for size in [(1, 1), (5, 3), (40, 8), (200, 60)] {
                drawn(overview, size, Pane::Curves, true);
                drawn(overview, size, Pane::Log, true);
            }
        }
    }
}
