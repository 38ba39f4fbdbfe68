//! The life of a gateway and of its log (invariants I3, I4).

use super::kind::{kind, words};
use crate::hex::PublicKey;
use crate::text::Text;

kind! {
    /// The volume is used to more than the alarm's share.
    CapacityAlarm {
        /// Share of the volume in use, in percent.
        used_percent: u8,
    }
}

kind! {
    /// The wall clock was set, or is wrong: it moved otherwise than the monotonic clock.
    ClockStepped {
        /// How far, in milliseconds; below zero when it was set back.
        by_ms: i64,
    }
}

kind! {
    /// The gateway began; every session before this record that has no end ended with the process.
    GatewayStarted {
        /// The gateway's version.
        version: Text,
    }
}

kind! {
    /// The gateway was told to stop and has drained; every session has its end before this record.
    GatewayStopped {}
}

kind! {
    /// A new signing key, and with it new logs: the first record of their region's log.
    IncarnationBegan {
        /// Its public key.
        key: PublicKey,
        /// The key before it on this volume, if one is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<PublicKey>,
        /// Why there is a new one.
        why: NewIncarnation,
    }
}

kind! {
    /// The log could not take records as it should: no session began, live ones ended (invariant I3).
    LogDegraded {
        /// What was wrong.
        health: Trouble,
    }
}

kind! {
    /// The log takes records again.
    LogRecovered {
        /// What was wrong.
        health: Trouble,
        /// For how long, in milliseconds.
        for_ms: u64,
    }
}

kind! {
    /// The journal ended in lines that were never acknowledged, or in an error; said at the next start.
    LogSealed {
        /// What was seen.
        why: Text,
    }
}

kind! {
    /// A file of the journal was damaged before good lines. It is kept whole beside the journal.
    LogSetAside {
        /// Its name now.
        file: Text,
        /// The first line that is wrong, counted from 1.
        line: u64,
        /// Sequence number that the next record would have had there.
        next_sequence: u64,
    }
}

words! {
    /// Why a new incarnation began.
    NewIncarnation {
        /// The journal was damaged.
        Damaged,
        /// The gateway had nothing on its volume.
        First,
        /// The key could not be read any more.
        KeyLost,
    }
}

words! {
    /// Health of a log that is not open.
    Trouble {
        /// No spare file could be allocated.
        Full,
        /// A write or a sync failed.
        Sealed,
        /// The oldest record waited too long.
        Stalled,
    }
}
