//! How far a batch is, for people: a line each for what runs, and one for all.

mod board;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use batch::{Item, Record};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    progress::{Gauge, Look},
    session::Session,
    show,
};
use board::{Board, Screen};

/// The room where a terminal does not say how much it has.
const USUAL: Screen = Screen { columns: 80, rows: 24 };

/// What is shown of a batch while it runs.
///
/// On a terminal each item that runs has a line, and the last line is about all of them; elsewhere each
/// item that ends is one plain line, and the gauge tells how far all of it is.
pub(super) struct Display<'a> {
    session: &'a Session,
    gauge: &'a Gauge<'a>,
    /// All lines, drawn as the message of one bar.
    lines: ProgressBar,
    board: Mutex<Board>,
    begun: Instant,
}

impl<'a> Display<'a> {
    /// Begins with these items to do.
    pub(super) fn new(todo: &[&Item], session: &'a Session, gauge: &'a Gauge<'a>) -> Self {
        let target = match session.look() {
            Look::Bar => ProgressDrawTarget::stderr(),
            Look::Plain | Look::Nothing => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template("{msg}").expect("the template is sound");
        let lines = ProgressBar::with_draw_target(None, target).with_style(style);
        let board = Board::new(todo);
        gauge.leave_terminal();
        gauge.phase("batch", None, Some(board.all_bytes()));
        let board = Mutex::new(board);
        let display = Self { session, gauge, lines, board, begun: Instant::now() };
        display.draw(&display.board());
        display
    }

    /// An item reached a state.
    pub(super) fn state(&self, item: &Item, record: &Record) {
        let mut board = self.board();
        if let Some(line) = board.state(item, record, self.begun.elapsed()) {
            self.lines.suspend(|| self.session.show.say(&line));
        }
        self.draw(&board);
    }

    /// So many guest bytes of an item are done.
    pub(super) fn progress(&self, item: &Item, done: u64, total: Option<u64>) {
        let mut board = self.board();
        board.progress(item, done, total);
        self.draw(&board);
    }

    /// Takes the lines away.
    pub(super) fn end(&self) {
        self.lines.finish_and_clear();
    }

    fn draw(&self, board: &Board) {
        self.gauge.reach(board.done_bytes());
        if self.lines.is_hidden() {
            return;
        }
        let screen = show::terminal().map_or(USUAL, |(columns, rows)| Screen { columns, rows });
        self.lines.set_message(board.lines(self.begun.elapsed(), screen).join("\n"));
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
