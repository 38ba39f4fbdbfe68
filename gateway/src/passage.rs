//! The passage between the two doors. It exists only while a permit does: [`Passage::open`] takes a [`Permit`] by
//! value, and when the permit is withdrawn every stream is cut before another byte moves.

mod meter;
mod permit;

use std::sync::Arc;
use std::time::Duration;

use sallyport_tunnel::{OpenError, StreamTarget, Tunnel, TunnelStream};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

pub use meter::{Meter, Metered};
pub use permit::Permit;

/// Buffer per direction of a stream, made when the stream begins and freed when it ends. 16 KiB is one TLS record.
const BUFFER: usize = 16 * 1024;

/// For the close_notify on a connection that may be stuck.
const FAREWELL: Duration = Duration::from_millis(100);

/// An open passage: the streams of one session.
pub struct Passage {
    permit: Permit,
    tunnel: Tunnel,
    meter: Arc<Meter>,
    cut: CancellationToken,
}

impl Passage {
    /// Opens the passage that the permit allows, through the tunnel of its endpoint.
    pub fn open(permit: Permit, tunnel: Tunnel) -> Self {
        Self { permit, tunnel, meter: Arc::new(Meter::default()), cut: CancellationToken::new() }
    }

    /// What it was permitted for.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// What moved.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Cuts every stream, now and in future. Final.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// The tunnel's end, which is the passage's too.
    pub fn tunnel_lost(&self) -> impl Future<Output = sallyport_tunnel::CloseReason> + Send + 'static {
        self.tunnel.closed()
    }

    /// Connects one stream to the service. Where it leads is read from the permit alone.
    pub async fn connect(&self) -> Result<Connected, OpenError> {
        let authorised = self.permit.authorised();
        let target = StreamTarget {
            device: authorised.device().clone(),
            service: authorised.service().clone(),
            session: self.permit.session().to_owned(),
        };
        let device = tokio::select! {
            biased;
            () = self.cut.cancelled() => return Err(OpenError::Draining),
            device = self.tunnel.open(target) => device?,
        };
        let place = self.meter.begin();
        Ok(Connected { device, meter: Arc::clone(&self.meter), _place: place, cut: self.cut.clone() })
    }
}

/// A stream whose device end is connected and whose engineer's end is not.
pub struct Connected {
    device: TunnelStream,
    meter: Arc<Meter>,
    _place: meter::Place,
    cut: CancellationToken,
}

impl Connected {
    /// Carries bytes both ways until both ends are done or the passage is cut; `on_cut` is called before the engineer's end
    /// is closed because of that.
    pub async fn carry<E>(mut self, engineer: E, on_cut: impl FnOnce()) -> std::io::Result<()>
    where
        E: AsyncRead + AsyncWrite + Unpin,
    {
        let mut engineer = Metered::new(engineer, Arc::clone(&self.meter));
        let copy = tokio::io::copy_bidirectional_with_sizes(&mut engineer, &mut self.device, BUFFER, BUFFER);
        let copied = tokio::select! {
            // The cut is looked at first: once it is made, no byte moves however much is ready.
            biased;
            () = self.cut.cancelled() => {
                on_cut();
                Ok(())
            }
            copied = copy => copied.map(drop),
        };
        // So that the engineer's program sees an end and not a broken connection. No byte of the device's is in it.
        let _ = tokio::time::timeout(FAREWELL, engineer.shutdown()).await;
        copied
    }
}
