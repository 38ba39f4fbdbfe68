//! Numbers, times and reasons as people read them.

use jiff::Timestamp;

use crate::api::Session;

/// `512 B`, `1.5 KiB`, `3.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut number = bytes as f64 / 1024.0;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.1} {}", UNITS[unit])
}

/// `45s`, `15m`, `2h`, `1h30m`.
pub(crate) fn length(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, _) => format!("{rest}s"),
        (0, _, 0) => format!("{minutes}m"),
        (0, _, _) => format!("{minutes}m{rest}s"),
        (_, 0, _) => format!("{hours}h"),
        _ => format!("{hours}h{minutes}m"),
    }
}

/// To the second, in UTC: engineers, hospitals and gateways are in different time zones.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Why a session is over.
pub(crate) fn end_reason(session: &Session) -> String {
    match session.end_reason.as_deref() {
        Some("endedByEngineer") => "you ended it".to_owned(),
        Some("expired") => "its longest duration is over; ask again if you need more".to_owned(),
        Some("gatewayStopping") => "its gateway is being stopped; connect again, another takes over".to_owned(),
        Some("idle") => format!("nothing moved for {}", length(session.idle_timeout_seconds)),
        Some("recordFailed") => "its audit record could not be kept, and without one nobody has access".to_owned(),
        Some("tunnelLost") => "the tunnel to the site is gone".to_owned(),
        Some("withdrawn") => match &session.end_detail {
            Some(detail) => format!("it is no longer allowed: {detail}"),
            None => "it is no longer allowed; a policy, an access level or a suspension changed".to_owned(),
        },
        Some(other) => other.to_owned(),
        None => "the gateway does not say why".to_owned(),
    }
}

/// How it went: `after 3m12s, 2.0 KiB to the device, 1.1 MiB from it`.
pub(crate) fn outcome(session: &Session, now: Timestamp) -> String {
    let seconds = u64::try_from(now.duration_since(session.opened_at).as_secs()).unwrap_or(0);
    format!("after {}, {} to the device, {} from it", length(seconds), size(session.bytes_out), size(session.bytes_in))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_lengths_read_well() {
        let sizes = [0, 1023, 1024, 1536, 5 * 1024 * 1024].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB"]);
        let lengths = [0, 45, 900, 192, 7200, 5400].map(length);
        assert_eq!(lengths, ["0s", "45s", "15m", "3m12s", "2h", "1h30m"]);
    }
}
