//! Ending a run early and still hearing its report.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use signal_hook::consts::{SIGINT, SIGTERM};

/// A flag that ends a run: everything is closed with 1000 and reported.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A flag that only [`Interrupt::raise`] raises.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that Ctrl-C or SIGTERM raises; the second time they end the process with status 130.
    ///
    /// # Errors
    ///
    /// The signal handlers could not be installed.
    pub fn on_signals() -> io::Result<Self> {
        let interrupt = Self::new();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the shutdown looks at the flag before the second action raises it.
            let raised = Arc::clone(&interrupt.0);
            signal_hook::flag::register_conditional_shutdown(signal, 130, raised)?;
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))?;
        }
        Ok(interrupt)
    }

    /// Ends the run.
    pub fn raise(&self) {
        self.0.store(true, SeqCst);
    }

    /// Whether the run is to end.
    pub fn is_raised(&self) -> bool {
        self.0.load(SeqCst)
    }
}
