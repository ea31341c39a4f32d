//! The timeline: a bar an item from its begin to its end, as SVG within the page.

use jiff::Timestamp;

use super::{Entry, Report, Standing, instant_ms, markup::Markup, quantity};

/// The width of the drawing, in its own units.
const WIDTH: i64 = 1000;

/// Room for the ids at the left, where they are shown.
const NAMES_WIDTH: i64 = 190;

/// Room for the times above the bars.
const AXIS_HEIGHT: i64 = 22;

/// Up to how many bars have their id beside them.
const MAX_NAMED: usize = 40;

/// The longest id that has room beside its bar, in letters.
const MAX_NAME_LETTERS: usize = 26;

/// About how many ticks the axis has at most.
const MAX_TICKS: i64 = 8;

/// How far ticks may be apart, in seconds: what people count time in.
const STEPS: [i64; 18] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

/// A bar.
struct Bar<'a> {
    item: &'a Entry,
    from_ms: i64,
    to_ms: i64,
}

/// Where times are in the drawing.
struct Scale {
    from_ms: i64,
    to_ms: i64,
    left: i64,
}

impl Scale {
    /// The place of a time that lies in the scale.
    fn x(&self, at_ms: i64) -> i64 {
        let length = self.to_ms.saturating_sub(self.from_ms).max(1);
        let passed = at_ms.saturating_sub(self.from_ms);
        // RFC 3339 has four digits of a year: this is far from the end of 64 bits.
        self.left + passed.saturating_mul(WIDTH - self.left) / length
    }

    /// The times of the ticks, all of them multiples of one step.
    fn ticks(&self) -> Vec<i64> {
        let length_s = self.to_ms.saturating_sub(self.from_ms) / 1000;
        let fitting = STEPS.iter().copied().find(|step| length_s / step < MAX_TICKS);
        let step_s = fitting.unwrap_or_else(|| (length_s / MAX_TICKS / 86_400 + 1) * 86_400);
        let step_ms = step_s * 1000;
        let first = (self.from_ms + step_ms - 1).div_euclid(step_ms);
        let last = self.to_ms.div_euclid(step_ms);
        (first..=last).map(|number| number * step_ms).collect()
    }
}

/// Draws the items that have begun, the first at the top; nothing where none has.
pub(super) fn draw(page: &mut Markup, report: &Report) {
    let mut bars: Vec<_> = report.items.iter().filter_map(bar).collect();
    bars.sort_by_key(|bar| bar.from_ms);
    let from_ms = bars.iter().map(|bar| bar.from_ms).min();
    let to_ms = bars.iter().map(|bar| bar.to_ms).max();
    let (Some(from_ms), Some(to_ms)) = (from_ms, to_ms) else { return };
    let is_named = bars.len() <= MAX_NAMED;
    let scale = Scale { from_ms, to_ms, left: if is_named { NAMES_WIDTH } else { 0 } };
    let pitch = if is_named { 16 } else { 5 };
    let rows = i64::try_from(bars.len()).unwrap_or(i64::MAX);
    let height = rows.saturating_mul(pitch).saturating_add(AXIS_HEIGHT + 4);

    let view = format!("0 0 {WIDTH} {height}");
    let attributes = [("viewBox", &*view), ("role", "img"), ("aria-label", "Timeline")];
    page.element("svg", &attributes, |page| {
        page.line();
        axis(page, &scale, height);
        for (bar, row) in bars.iter().zip(0_i64..) {
            let top = row.saturating_mul(pitch).saturating_add(AXIS_HEIGHT);
            draw_bar(page, bar, &scale, (top, pitch));
        }
    });
    page.line();
}

/// The bar of an item that has begun; one that has not ended goes on to when it was last heard of.
fn bar(item: &Entry) -> Option<Bar<'_>> {
    if item.state == Standing::Queued {
        return None;
    }
    let from_ms = instant_ms(item.began.as_deref()?)?;
    let to_ms = instant_ms(item.ended.as_deref().or(item.heard.as_deref())?)?;
    Some(Bar { item, from_ms, to_ms: to_ms.max(from_ms) })
}

fn axis(page: &mut Markup, scale: &Scale, height: i64) {
    let is_long = scale.to_ms.saturating_sub(scale.from_ms) >= 86_400_000;
    let form = if is_long { "%m-%d %H:%M" } else { "%H:%M:%S" };
    for at_ms in scale.ticks() {
        let Ok(time) = Timestamp::from_millisecond(at_ms) else { continue };
        let x = scale.x(at_ms);
        // Near the edges, a text in the middle of its tick would stick out.
        let anchor = if x < scale.left + 40 {
            "start"
        } else if x > WIDTH - 40 {
            "end"
        } else {
            "middle"
        };
        let (x, bottom) = (x.to_string(), height.to_string());
        let line = [("x1", &*x), ("x2", &*x), ("y1", "16"), ("y2", &*bottom), ("class", "tick")];
        page.leaf("line", &line, "");
        page.leaf(
            "text",
            &[("x", &x), ("y", "12"), ("text-anchor", anchor)],
            &time.strftime(form).to_string(),
        );
        page.line();
    }
}

fn draw_bar(page: &mut Markup, bar: &Bar<'_>, scale: &Scale, (top, pitch): (i64, i64)) {
    let (from, to) = (scale.x(bar.from_ms), scale.x(bar.to_ms));
    // A bar is seen however short it was, and does not leave the drawing.
    let width = (to - from).max(2);
    let x = from.min(WIDTH - width).to_string();
    let (y, width) = ((top + 1).to_string(), width.to_string());
    let height = (pitch - 2).to_string();
    let item = bar.item;
    if scale.left > 0 {
        let base = (top + 12).to_string();
        page.leaf("text", &[("x", "0"), ("y", &base)], &shortened(&item.id));
    }
    let class = item.state.as_str();
    let attributes =
        [("x", &*x), ("y", &*y), ("width", &*width), ("height", &*height), ("class", class)];
    page.element("rect", &attributes, |page| page.leaf("title", &[], &tooltip(item)));
    page.line();
}

fn tooltip(item: &Entry) -> String {
    let code = item.code.as_deref().map_or_else(String::new, |code| format!(" {code}"));
    let length = item
        .duration_ms
        .map_or_else(String::new, |length_ms| format!(", {}", quantity::duration(length_ms)));
    format!("{}: {}{code}{length}", item.id, item.state.as_str())
}

fn shortened(id: &str) -> String {
    if id.chars().count() <= MAX_NAME_LETTERS {
        return id.to_owned();
    }
    id.chars().take(MAX_NAME_LETTERS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_a_few_ticks_at_round_times_whatever_its_length() {
        let minute = 60_000;
        for (from_ms, length_ms, want) in [
            (0, 0, vec![0]),
            (500, 3 * 1000, vec![1000, 2000, 3000]),
            (minute / 2, 4 * minute, vec![minute, 2 * minute, 3 * minute, 4 * minute]),
        ] {
            let scale = Scale { from_ms, to_ms: from_ms + length_ms, left: 0 };
            assert_eq!(scale.ticks(), want);
        }
        for days in [1, 3, 30, 4000, 3_000_000] {
            let scale = Scale { from_ms: -5, to_ms: days * 86_400_000, left: 0 };
            let count = scale.ticks().len();
            assert!((2..=10).contains(&count), "{count} ticks for {days} days");
        }
    }

    #[test]
    fn every_time_has_a_place_within_the_drawing() {
        // From the year -9999 to 9999: all that a timestamp can be.
        let (from_ms, to_ms) = (-377_705_023_201_000, 253_402_207_200_999);
        let scale = Scale { from_ms, to_ms, left: NAMES_WIDTH };
        assert_eq!((scale.x(from_ms), scale.x(to_ms)), (NAMES_WIDTH, WIDTH));
        let scale = Scale { from_ms: 7, to_ms: 7, left: 0 };
        assert_eq!(scale.x(7), 0);
    }
}
