//! The edges of a run: `before` and `after`, which one user does alone.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    figures::Figures,
    part::ScriptPart,
    perform::{Said, ScriptOptions, perform_part, prepare},
    read::{Edge, Script},
};
use crate::{interrupt::Interrupt, progress::Progress, run::LoadError};

/// Lets one user do what a script has `before` all others; returns what it captured, which is for all of them
/// ([`super::ScriptFlags::captured`]). Nothing where there is no `before`.
///
/// # Errors
///
/// Those of [`super::run_script`], and [`LoadError::Edge`] when the user fails.
pub fn run_before(
    script: &Script,
    options: &ScriptOptions,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<BTreeMap<String, Value>, LoadError> {
    run(script, Edge::Before, options, progress, interrupt)
}

/// Lets one user do what a script has `after` all others.
///
/// # Errors
///
/// As [`run_before`].
pub fn run_after(
    script: &Script,
    options: &ScriptOptions,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<(), LoadError> {
    run(script, Edge::After, options, progress, interrupt).map(drop)
}

fn run(
    script: &Script,
    edge: Edge,
    options: &ScriptOptions,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<BTreeMap<String, Value>, LoadError> {
    let Some(alone) = script.alone(edge) else {
        return Ok(BTreeMap::new());
    };
    let mut options = options.clone();
    options.shards = Some(1);
    let prepared = prepare(alone, &options, ScriptPart::whole(), fastrand::u64(..))?;
    let plan = Arc::clone(&prepared.plan);
    let mut all = Figures::default();
    perform_part(prepared, interrupt, &mut |said| match said {
        Said::Line(line) => progress.tell(&line),
        Said::Standing(_) => {}
        Said::Period(_, figures, _) => all.merge(*figures),
    })?;
    if all.completed == 0 {
        let failure = all.failed.counts().into_iter().next();
        return Err(LoadError::Edge {
            edge: match edge {
                Edge::Before => "before",
                Edge::After => "after",
            },
            why: failure.map_or_else(|| "it was ended early".to_owned(), |one| one.text),
        });
    }
    Ok(plan.captured.get().cloned().unwrap_or_default())
}
