//! The device tunnel: HTTP/2 with its roles reversed, inside WebSocket binary messages, over any byte stream.
//!
//! ```text
//!  gateway (WebSocket server, HTTP/2 client)          agent (WebSocket client, HTTP/2 server)
//!
//!  Tunnel::open ───── CONNECT ct-1.lyon ──────────────▶ Handler::connect ── device
//!  Tunnel::push_offer  POST /offer ───────────────────▶ Handler::offer
//!  Tunnel::push_trust  POST /trust ───────────────────▶ Handler::trust
//!  Tunnel::prove ───── POST /identity ────────────────▶ Handler::identity
//!  Tunnel::drain ───── POST /drain ───────────────────▶ Handler::drain
//!
//!  gateway::TunnelDriver          one owner of the socket           agent::agent_end
//!          └── MessageStream: messages <-> bytes, pings, the end (Fate) ──┘
//! ```
//!
//! It knows nothing of TLS, of Kubernetes or of who may do what: it carries bytes of one stream to one device service and
//! says why it could not. Nothing of HTTP/2 or WebSocket shows in the interface, so that what is inside can be
//! replaced. What it holds:
//!
//! - flow control is per stream: a reader that stalls, stalls nobody else ([`Limits`] has the arithmetic);
//! - a peer that vanished without a word is noticed within [`Limits::noticed_after`];
//! - after [`Tunnel::close`] returned, no stream of the tunnel yields or takes another byte;
//! - every wait has a deadline, every task an owner: [`TunnelDriver`] and [`agent_end`] end all that they began.

mod agent;
mod fate;
mod gateway;
mod limits;
mod message_stream;
mod proof;
mod relay;
mod stream;
mod wire;

pub use agent::{Handler, agent_end};
pub use fate::CloseReason;
pub use gateway::{OpenError, PushError, Tunnel, TunnelDriver, gateway_end};
pub use limits::{Limits, MAX_OFFER, MAX_TRUST};
pub use proof::{NONCE, Proof};
pub use stream::TunnelStream;
pub use wire::{Refusal, RefusalReason, StreamTarget};
