//! The whole terminal while a crowd runs, and given back before anything else is written to it.
//!
//! A thread of its own draws and listens to keys, so a terminal that does not read keeps nobody from
//! leading the run. It leaves the terminal as soon as the run is to end: by `q`, by a signal, by a panic.
//! What is to be said from then on goes to standard error as plain lines.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Stderr, Stdout, Write as _},
    panic,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use load::{Interrupt, Moment, Period, PlainLines, Progress};
use ratatui::{Terminal, backend::TermionBackend, widgets::Paragraph};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use termion::{
    raw::{IntoRawMode as _, RawTerminal},
    screen::{AlternateScreen, IntoAlternateScreen as _},
};

use super::view::View;

/// How often is drawn, and looked whether that is still wanted.
const EVERY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};
/// How long a panic waits for the terminal to be given back.
const PATIENCE: Duration = Duration::from_secs(2);

type Full = Terminal<TermionBackend<AlternateScreen<RawTerminal<Stdout>>>>;

/// The terminal; given back when this is dropped.
pub(super) struct Screen {
    shared: Arc<Shared>,
    drawer: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Signalled when the terminal is given back.
    is_left: Condvar,
}

struct State {
    view: View,
    /// Whether anything was drawn.
    is_drawn: bool,
    /// Whether the terminal is to be given back.
    is_over: bool,
    is_left: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there is a terminal to draw on.
pub(super) fn is_there() -> bool {
    io::stdout().is_terminal() && io::stderr().is_terminal()
}

impl Screen {
    /// Takes the terminal for the run of `title`; `q` and Ctrl-C raise `interrupt`.
    ///
    /// # Errors
    ///
    /// The terminal cannot be had.
    pub(super) fn open(title: String, interrupt: &Interrupt) -> anyhow::Result<Self> {
        let keys = File::open("/dev/tty").context("cannot listen to the keyboard")?;
        let screen = io::stdout()
            .into_raw_mode()
            .and_then(|raw| raw.into_alternate_screen())
            .context("cannot take the terminal")?;
        let terminal = Terminal::new(TermionBackend::new(screen)).context("cannot draw")?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                view: View::of(title),
                is_drawn: false,
                is_over: false,
                is_left: false,
            }),
            is_left: Condvar::new(),
        });
        let (for_drawer, interrupt) = (Arc::clone(&shared), interrupt.clone());
        let drawer = thread::Builder::new()
            .name("view".to_owned())
            .spawn(move || draw_until_over(terminal, keys, &for_drawer, &interrupt))
            .context("cannot start a thread that draws")?;
        give_back_on_panic(&shared);
        Ok(Self {
            shared,
            drawer: Some(drawer),
        })
    }

    /// Who hears of the run for this screen.
    pub(super) fn progress(&self) -> Watched {
        Watched {
            shared: Arc::clone(&self.shared),
            plain: PlainLines::new(io::stderr()),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        if let Some(drawer) = self.drawer.take() {
            // A panic of it has been told, and the terminal was given back by that.
            let _ = drawer.join();
        }
    }
}

/// A panic is told where it can be read: on the terminal as it was.
fn give_back_on_panic(shared: &Arc<Shared>) {
    let (before, shared) = (panic::take_hook(), Arc::downgrade(shared));
    panic::set_hook(Box::new(move |info| {
        let is_drawer = thread::current().name() == Some("view");
        if let Some(shared) = shared.upgrade().filter(|_| !is_drawer) {
            let mut state = shared.state();
            state.is_over = true;
            let is_left = |state: &mut State| !state.is_left;
            drop(shared.is_left.wait_timeout_while(state, PATIENCE, is_left));
        }
        before(info);
    }));
}

fn draw_until_over(mut terminal: Full, mut keys: File, shared: &Shared, interrupt: &Interrupt) {
    /// Says so however the thread ends.
    struct Leaving<'a>(&'a Shared);
    impl Drop for Leaving<'_> {
        fn drop(&mut self) {
            let mut state = self.0.state();
            (state.is_over, state.is_left) = (true, true);
            self.0.is_left.notify_all();
        }
    }
    let leaving = Leaving(shared);
    loop {
        let is_over = shared.state().is_over || interrupt.is_raised();
        if is_over || draw(&mut terminal, shared).is_err() {
            break;
        }
        match is_left(&mut keys) {
            Ok(false) => {}
            Ok(true) => interrupt.raise(),
            Err(_) => break,
        }
    }
    // The terminal first, then the word that it is free.
    drop(terminal);
    // That was written to a buffer; what is said next goes to standard error, which has none.
    let _ = io::stdout().flush();
    drop(leaving);
}

fn draw(terminal: &mut Full, shared: &Shared) -> io::Result<()> {
    terminal.draw(|frame| {
        let area = frame.area();
        let lines = shared.state().view.lines(area.width, area.height);
        frame.render_widget(Paragraph::new(lines), area);
    })?;
    shared.state().is_drawn = true;
    Ok(())
}

/// Waits for a key, not for long; whether it was one that ends the run.
fn is_left(keys: &mut File) -> io::Result<bool> {
    let mut fds = [PollFd::new(&*keys, PollFlags::IN)];
    match poll(&mut fds, Some(&EVERY)) {
        Ok(0) | Err(Errno::INTR) => return Ok(false),
        Ok(_) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut bytes = [0; 16];
    let len = keys.read(&mut bytes)?;
    const CTRL_C: u8 = 3;
    // Nothing to read is a terminal that is gone.
    Ok(len == 0
        || bytes[..len]
            .iter()
            .any(|&byte| byte == b'q' || byte == CTRL_C))
}

/// Hears of a run and shows it: on the screen, or as plain lines once that is given back.
pub(super) struct Watched {
    shared: Arc<Shared>,
    plain: PlainLines<Stderr>,
}

impl Watched {
    /// Does this with the view, if there still is one.
    fn with_view(&mut self, show: impl FnOnce(&mut View)) -> Option<&mut PlainLines<Stderr>> {
        let mut state = self.shared.state();
        if state.is_left {
            return Some(&mut self.plain);
        }
        show(&mut state.view);
        None
    }
}

impl Progress for Watched {
    fn update(&mut self, now: &Moment<'_>) {
        if let Some(plain) = self.with_view(|view| view.update(now)) {
            plain.update(now);
        }
    }

    fn handle_period(&mut self, _: u64, period: &Period) {
        self.with_view(|view| view.handle_period(period));
    }

    fn tell(&mut self, text: &str) {
        if let Some(plain) = self.with_view(|view| view.tell(text)) {
            plain.tell(text);
        }
    }

    /// Of a search, another run may follow.
    fn finish(&mut self) {
        self.with_view(View::begin);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        env, process,
        process::Command,
        time::{Duration, Instant},
    };

    use super::*;

    /// What the test is to do that runs in a terminal, in the environment of its process.
    const DEED: &str = "SCREEN_TEST_DEED";
    const NAME: &str = "load::screen::tests::a_panic_and_an_end_give_the_terminal_back";

    /// Runs the test below in a terminal of tmux; gives what that shows afterwards, and how the terminal is.
    fn in_a_terminal(deed: &str) -> (String, String) {
        let server = format!("fourtuple-screen-{deed}-{}", process::id());
        let tmux = |arguments: &[&str]| {
            let mut command = Command::new("tmux");
            let output = command.args(["-L", &server]).args(arguments).output();
            let output = output.expect("tmux is not installed: apt-get install tmux");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let test = env::current_exe().expect("Linux");
        let script = format!(
            "{DEED}={deed} {} --exact {NAME} --nocapture; stty -a; echo OVER; exec cat",
            test.display()
        );
        let size = ["-x", "120", "-y", "40"];
        tmux(
            &[
                &["-f", "/dev/null", "new-session", "-d"][..],
                &size,
                &[&script],
            ]
            .concat(),
        );
        let until = Instant::now() + Duration::from_secs(60);
        let mut seen = String::new();
        while !seen.contains("OVER") && Instant::now() < until {
            thread::park_timeout(Duration::from_millis(50));
            seen = tmux(&["capture-pane", "-p"]);
        }
        let state = tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        tmux(&["kill-server"]);
        (seen, state.trim().to_owned())
    }

    /// Takes the terminal, and waits until something is drawn on it.
    fn take() -> Screen {
        let screen = Screen::open("a run".to_owned(), &Interrupt::new()).expect("a terminal");
        let until = Instant::now() + Duration::from_secs(20);
        while !screen.shared.state().is_drawn {
            assert!(Instant::now() < until, "nothing was drawn");
            thread::park_timeout(Duration::from_millis(5));
        }
        screen
    }

    #[test]
    fn a_panic_and_an_end_give_the_terminal_back() {
        match env::var(DEED).as_deref() {
            Ok("panic") => {
                let screen = take();
                // Of a shard's thread, while the run is led by another.
                let shard = thread::spawn(|| panic!("as a bug would"));
                assert!(shard.join().is_err());
                assert!(screen.shared.state().is_left);
                // On the screen that is left already.
                eprintln!("said after the panic");
                drop(screen);
            }
            Ok(_) => drop(take()),
            Err(_) => {
                let (seen, state) = in_a_terminal("panic");
                assert_eq!(state, "0 1", "the first screen, with a cursor: {seen}");
                for words in [
                    "as a bug would",
                    "said after the panic",
                    " icanon",
                    " echo ",
                ] {
                    assert!(seen.contains(words), "{words}: {seen}");
                }
                assert!(!seen.contains("q ends the run"), "{seen}");
                let (seen, state) = in_a_terminal("end");
                assert_eq!(state, "0 1", "the first screen, with a cursor: {seen}");
                assert!(seen.contains(" icanon"), "{seen}");
                assert!(!seen.contains("q ends the run"), "{seen}");
            }
        }
    }
}
