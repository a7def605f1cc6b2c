//! A diagnosis for people.

use std::fmt::{self, Write as _};

use super::{Diagnosis, Finding, Verdict};
use crate::{
    Bytes, Demand, Grouped, Limit, Setting, Side, Unit, Unknown,
    plan::{Answer, Drawing, Program},
    survey::Reading,
};

impl Diagnosis {
    /// A plan in words, with whether this machine can be its server and what binds there first.
    pub fn plan_text(&self, answer: &Answer, drawing: &Drawing) -> String {
        let mut text = answer.verdict().to_string();
        let fits = match self.fits() {
            Some(true) => "can be its server",
            Some(false) => "cannot be its server as it is",
            None => "may be its server; not everything could be read",
        };
        // Writing to a String does not fail.
        let _ = write!(text, "\nThis machine {fits}");
        if let Some(binding) = self.binding() {
            let _ = write!(text, ". Binds first: {}", binding.sentence());
        }
        let _ = writeln!(text, "\n\n{drawing}{}", answer.sections());
        text
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let demand = &self.demand;
        let answer = match self.fits() {
            Some(true) => "fit on this machine",
            Some(false) => "do NOT fit on this machine",
            None => "may fit on this machine, but not everything could be read",
        };
        writeln!(
            f,
            "{} connections, {} of {}, {answer}",
            Grouped(demand.connections),
            ends(demand.role),
            whose(demand),
        )?;
        if let Some(binding) = self.binding() {
            writeln!(f, "\nbinds first: {}", binding.sentence())?;
        }
        for verdict in [Verdict::Stops, Verdict::Slows, Verdict::Unknown] {
            for finding in self.findings().iter().filter(|it| it.verdict == verdict) {
                write!(f, "\n{finding}")?;
            }
        }
        let fitting = |numbered: bool| {
            let fits =
                move |it: &&Finding| it.verdict == Verdict::Fits && it.has_measure() == numbered;
            self.findings().iter().filter(fits)
        };
        let mut title = "\nenough of everything else:\n";
        for finding in fitting(true) {
            write!(f, "{title}  {:<44} ", finding.limit.name())?;
            finding.write_measure(f)?;
            writeln!(f)?;
            title = "";
        }
        let mut title = "\nof these no number follows from the connections:\n";
        for finding in fitting(false) {
            write!(f, "{title}  {:<44} ", finding.limit.name())?;
            finding.write_measure(f)?;
            writeln!(f, "; {}", finding.why)?;
            title = "";
        }
        Ok(())
    }
}

/// A paragraph: what it is, how it was read, what is needed, what is seen, what to do.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7} {}: ", self.verdict, self.limit.name())?;
        self.write_measure(f)?;
        writeln!(f)?;
        let mut line = |label: &str, words: &str| writeln!(f, "        {label:<9} {words}");
        line("read", self.limit.read_from())?;
        line("because", &self.why)?;
        line("symptom", self.limit.symptom())?;
        line("remedy", &self.remedy())
    }
}

impl Finding {
    /// What to do, with the number that is enough where there is one.
    pub fn remedy(&self) -> String {
        match &self.change {
            Some(change) => change.remedy(),
            None => self.limit.remedy().to_owned(),
        }
    }

    /// The limit in one sentence.
    pub fn sentence(&self) -> String {
        let name = self.limit.name();
        match (&self.reading, self.need) {
            (Ok(reading), Some(need)) => format!(
                "{name} is {}; needed {}{}: {}",
                amount(self.limit, reading.value),
                bare(self.limit, need),
                match self.enough_for {
                    Some(most) => format!(", which is enough for {} connections", Grouped(most)),
                    None => String::new(),
                },
                self.why
            ),
            (Ok(reading), None) => format!("{name} is {}: {}", reading.text, self.why),
            (Err(unknown), _) => format!("{name}: {unknown}"),
        }
    }

    /// Whether it says how much there is of how much that is needed, or which way a switch is.
    fn has_measure(&self) -> bool {
        self.need.is_some() || self.why != self.limit.sizing()
    }

    fn write_measure(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reading {
            Ok(reading) => f.write_str(&measure(self.limit, reading))?,
            Err(Unknown::Absent(_)) if super::is_of_some_kernels(self.limit) => {
                return f.write_str("there is no such limit here");
            }
            Err(Unknown::Absent(_)) => f.write_str("not to be seen from here, so the host's")?,
            Err(Unknown::Unset(_)) => f.write_str("not to be read from here")?,
            Err(unknown) => write!(f, "{unknown}")?,
        }
        match self.need {
            Some(need) => write!(f, ", needed {}", bare(self.limit, need)),
            None => Ok(()),
        }
    }
}

/// What a limit is, and how much of it is in use.
fn measure(limit: Limit, reading: &Reading) -> String {
    let is_list = reading.text.contains(' ') || limit.unit() == Unit::Choice;
    let shown = match limit.setting() {
        Setting::Sysctl { .. } | Setting::Rlimit { .. } | Setting::Machine if is_list => {
            reading.text.clone()
        }
        _ => amount(limit, reading.value),
    };
    match reading.used {
        Some(used) => format!("{shown}, in use {}", amount(limit, used)),
        None => shown,
    }
}

/// An amount whose unit was said before.
fn bare(limit: Limit, value: u64) -> String {
    match limit.unit() {
        Unit::Bytes => Bytes(value).to_string(),
        _ => Grouped(value).to_string(),
    }
}

fn amount(limit: Limit, value: u64) -> String {
    match (value, limit.unit()) {
        (u64::MAX, _) => "without a limit".to_owned(),
        (value, Unit::Choice) => value.to_string(),
        (value, Unit::Bytes) => Bytes(value).to_string(),
        (value, unit) => format!("{} {unit}", Grouped(value)),
    }
}

fn ends(role: Side) -> &'static str {
    match role {
        Side::Server => "the server's end",
        Side::Client => "the clients' end",
        Side::Both => "both ends",
    }
}

fn whose(demand: &Demand) -> String {
    match demand.program {
        Program::Fourtuple => format!("fourtuple on {}", demand.kernel),
        Program::Other { .. } => "a program with one table of descriptors".to_owned(),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stops => "STOPS",
            Self::Slows => "slows",
            Self::Unknown => "unknown",
            Self::Fits => "fits",
        })
    }
}
