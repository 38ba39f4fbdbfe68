//! What a verification found, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;

use sallyport_audit::Scope;
use sallyport_audit::export::{Faults, Verified};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{Output, table};
use crate::words;

/// Prints it. That something does not hold is a failure with an exit code of its own.
pub(crate) fn tell(folder: &Path, found: &Result<Verified, Faults>, output: &Output) -> Result<(), Failure> {
    match found {
        Ok(verified) => {
            let mut answer = json!(verified);
            answer["verified"] = Value::Bool(true);
            output.answer(&answer, || holds(verified))
        }
        Err(faults) => {
            let mut answer = json!(faults);
            answer["verified"] = Value::Bool(false);
            output.answer(&answer, || format!("NOT VERIFIED\n{faults}"))?;
            let faults = faults.more + u64::try_from(faults.faults.len()).unwrap_or(u64::MAX);
            Err(Failure::NotVerified { folder: folder.to_owned(), faults })
        }
    }
}

fn holds(verified: &Verified) -> String {
    let whose = match &verified.scope {
        Scope::Region => format!("region {} itself", verified.region),
        Scope::Site(site) => format!("site {site}, region {}", verified.region),
    };
    let period = verified.period;
    let mut text = format!(
        "VERIFIED: nothing is missing, changed or invented\n\nwhose      {whose}\nfrom       {}\nto         {}\nrecords    {}",
        words::time(period.from),
        words::time(period.to),
        verified.records,
    );
    if verified.erased > 0 {
        let _ = write!(text, " ({} of persons who were erased on lawful request)", verified.erased);
    }
    let _ = writeln!(text, "\nmade       {} for {}", words::time(verified.made.at), verified.made.by);
    for witness in &verified.witnesses {
        let since =
            witness.seen_at.map(|at| format!(", who saw these logs at {}", words::time(at))).unwrap_or_default();
        let _ = writeln!(text, "witness    {}{since}", witness.name);
    }
    if verified.known > 0 {
        let _ = writeln!(text, "known      {} checkpoints from before are contained", verified.known);
    }
    text.push('\n');
    text.push_str(&logs(verified));
    notes(verified, &mut text);
    text
}

fn logs(verified: &Verified) -> String {
    let rows = verified.logs.iter().map(|log| {
        let range = match log.records {
            0 => "none".to_owned(),
            records => format!("{} to {}", log.first, log.first + (records - 1)),
        };
        vec![log.origin.to_string(), range, log.size.to_string(), words::time(log.collected_until)]
    });
    table(&["LOG", "RECORDS", "OF", "COLLECTED UNTIL"], &rows.collect::<Vec<_>>())
}

/// What a reader could otherwise take for more than it is.
fn notes(verified: &Verified, text: &mut String) {
    if verified.logs.is_empty() {
        text.push_str("\nnote: there is no log in it: nothing of this was collected yet\n");
    }
    if let Some(until) = verified.collected_until.filter(|until| *until < verified.period.to) {
        let _ =
            writeln!(text, "\nnote: what was recorded after {} may not have been collected yet", words::time(until));
    }
    for log in verified.logs.iter().filter(|log| log.deleted_before > 0) {
        let _ = writeln!(
            text,
            "\nnote: records before {} of {} were deleted when their time was over; their hashes are there",
            log.deleted_before, log.origin
        );
    }
    if verified.known == 0 && verified.witnesses.is_empty() {
        text.push_str(
            "\nnote: that these are the same logs as others are shown, and that none was rolled back since, is told by\n\
             --known (what you were sent before) and --witness\n",
        );
    }
}
