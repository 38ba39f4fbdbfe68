//! A scripted operator: attaches over mutual TLS, signs what is asked for, sends configurations and waits for answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use hyper_util::rt::TokioIo;
use sallyport_control::update;
use sallyport_control::wire::control_client::ControlClient;
use sallyport_control::wire::enrolled::Result as Outcome;
use sallyport_control::wire::from_gateway::Message as FromThem;
use sallyport_control::wire::from_operator::Message as ToThem;
use sallyport_control::wire::{
    Enrol, EnrolRefused, Enrolled, FromGateway, FromOperator, Purpose, Report, SignedCertificate, Trust,
};
use sallyport_core::config::RegionConfig;
use sallyport_core::identity::Role;
use sallyport_core::name::EndpointId;
use sallyport_gateway::run::Running;
use sallyport_pki::authority::{LeafRequest, Serial};
use sallyport_pki::csr;
use sallyport_pki::key::PrivateKey;
use sallyport_pki::profile::Profile;
use sallyport_runtime::tls::{self, ExpectedServer};
use sallyport_testkit::{Ca, Credential};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::{Region, WITHIN, material};

pub struct Operator {
    to: mpsc::Sender<FromOperator>,
    from: Streaming<FromGateway>,
    /// Who signs now: generation, certificate, key.
    signer: (u32, String, String),
    region: sallyport_core::name::RegionId,
    gateway: sallyport_core::name::Name,
    pub generation: u64,
    pub attached: (u64, String),
    config: RegionConfig,
    certified: BTreeSet<i32>,
    pub report: Report,
    /// How far its clock is ahead.
    pub clock: jiff::SignedDuration,
    /// How many certificates it signed while it was.
    pub signed_early: usize,
    /// What it says to who wants to enrol.
    pub enrolment: Enrolment,
    /// What it was asked.
    pub enrols: Vec<Enrol>,
}

/// Answers an [`Enrol`]: a certificate for the endpoint, or a refusal.
pub type Enrolment = Box<dyn Fn(&Enrol) -> Result<EndpointId, EnrolRefused> + Send>;

impl Operator {
    pub async fn attach(region: &Region, running: &Running) -> Self {
        Self::attach_as(&region.ca, &region.ca.operator(), running).await.unwrap()
    }

    /// Fails when the gateway refuses the credential.
    pub async fn attach_as(ca: &Ca, credential: &Credential, running: &Running) -> Result<Self, String> {
        let gateway = running.gateway.place.gateway.clone();
        let mut client = ControlClient::new(Self::channel(ca, credential, running).await?);
        let (to, messages) = mpsc::channel(16);
        let from = client.attach(ReceiverStream::new(messages)).await.map_err(|error| error.to_string())?.into_inner();
        let mut operator = Self {
            to,
            from,
            signer: signer(ca),
            region: ca.region().clone(),
            gateway,
            generation: 0,
            attached: (0, String::new()),
            config: RegionConfig::default(),
            certified: BTreeSet::new(),
            report: Report::default(),
            clock: jiff::SignedDuration::ZERO,
            signed_early: 0,
            enrolment: Box::new(|_| Err(EnrolRefused { code: "notNow".into(), message: "not scripted".into() })),
            enrols: Vec::new(),
        };
        let FromThem::Attached(hello) = operator.hear().await? else { return Err("no Attached".to_owned()) };
        operator.generation = hello.generation;
        operator.attached = (hello.generation, hello.digest);
        Ok(operator)
    }

    /// A connection to the control port.
    pub async fn channel(ca: &Ca, credential: &Credential, running: &Running) -> Result<Channel, String> {
        let expected = running.gateway.place.gateway.clone();
        let expected = ExpectedServer::new(ca.region().clone(), move |role| {
            *role == Role::GatewayBootstrap || *role == Role::Gateway(expected.clone())
        });
        let config = tls::client_expecting(expected, Some(&material(credential)), &ca.bundle(), &[b"h2"]).unwrap();
        let address = running.listen.control;
        let connect = move |_| dial(address, config.clone());
        let channel = Endpoint::from_static("http://gateway").connect_with_connector(tower::service_fn(connect)).await;
        channel.map_err(|error| error.to_string())
    }

    /// Sends a configuration and waits for Ack; the error is the Nack's reason.
    pub async fn put(&mut self, config: &RegionConfig) -> Result<(), String> {
        self.generation += 1;
        let (snapshot, changes) = (self.config == RegionConfig::default(), self.config.diff(config));
        for part in update::parts(self.generation, snapshot, &changes) {
            self.say(ToThem::Update(part)).await;
        }
        loop {
            match self.hear().await? {
                FromThem::Ack(ack) if ack.generation == self.generation => {
                    self.config = config.clone();
                    return Ok(());
                }
                FromThem::Nack(nack) => return Err(nack.reason),
                other => self.react(other).await,
            }
        }
    }

    /// Says that the configuration with which the gateway attached is what counts.
    pub async fn confirm(&mut self) -> Result<(), String> {
        for part in update::parts(self.generation, false, &[]) {
            self.say(ToThem::Update(part)).await;
        }
        loop {
            match self.hear().await? {
                FromThem::Ack(ack) if ack.generation == self.generation => return Ok(()),
                FromThem::Nack(nack) => return Err(nack.reason),
                other => self.react(other).await,
            }
        }
    }

    /// Sends a trust and waits until it is in force; the error is the refusal's reason.
    pub async fn trust(&mut self, trust: Trust) -> Result<(), String> {
        let sent = trust.digest.clone();
        self.say(ToThem::Trust(trust)).await;
        loop {
            match self.hear().await? {
                FromThem::TrustAck(ack) if ack.digest == sent => return Ok(()),
                FromThem::TrustNack(nack) if nack.digest == sent => return Err(nack.reason),
                other => self.react(other).await,
            }
        }
    }

    /// From now on another generation signs.
    pub fn signs_with(&mut self, ca: &Ca) {
        self.signer = signer(ca);
    }

    /// Answers what comes until `done` is.
    pub async fn during<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return done,
                message = self.from.message() => {
                    let message = message.unwrap().and_then(|message| message.message).expect("the gateway's message");
                    self.react(message).await;
                }
            }
        }
    }

    /// Waits until the gateway has its three certificates.
    pub async fn certified(&mut self) {
        while self.certified.len() < 3 {
            let message = self.hear().await.unwrap();
            self.react(message).await;
        }
    }

    /// Waits for a report that satisfies `fine`.
    pub async fn reported(&mut self, fine: impl Fn(&Report) -> bool) {
        while !fine(&self.report) {
            let message = self.hear().await.unwrap();
            self.react(message).await;
        }
    }

    pub async fn say(&self, message: ToThem) {
        self.to.send(FromOperator { message: Some(message) }).await.unwrap();
    }

    async fn hear(&mut self) -> Result<FromThem, String> {
        let message = tokio::time::timeout(WITHIN, self.from.message()).await.map_err(|_| "no message".to_owned())?;
        let message = message.map_err(|error| error.to_string())?.ok_or("the stream ended")?;
        message.message.ok_or_else(|| "an empty message".to_owned())
    }

    async fn react(&mut self, message: FromThem) {
        match message {
            FromThem::CertificateRequest(request) => {
                let (purpose, chain) = self.sign(request.purpose(), &request.csr);
                self.say(ToThem::Certificate(SignedCertificate { purpose: purpose.into(), chain })).await;
                self.certified.insert(purpose.into());
                self.signed_early += usize::from(self.clock.is_positive());
            }
            FromThem::Report(report) => self.report = report,
            FromThem::Enrol(enrol) => {
                let result = match (self.enrolment)(&enrol) {
                    Ok(endpoint) => Outcome::Chain(self.issue(Profile::Endpoint(endpoint), &enrol.csr)),
                    Err(refused) => Outcome::Refused(refused),
                };
                self.say(ToThem::Enrolled(Enrolled { request: enrol.request, result: Some(result) })).await;
                self.enrols.push(enrol);
            }
            FromThem::Attached(_)
            | FromThem::Ack(_)
            | FromThem::Nack(_)
            | FromThem::TrustAck(_)
            | FromThem::TrustNack(_) => {}
        }
    }

    fn sign(&self, purpose: Purpose, csr: &[u8]) -> (Purpose, String) {
        let host = |name: &str| sallyport_testkit::ca::host(name);
        let profile = match purpose {
            Purpose::Peer => Profile::GatewayPeer { pod: self.gateway.clone(), dns: host("localhost") },
            Purpose::OuterDoor => Profile::OuterDoor { host: host("outer.example") },
            Purpose::InnerDoor => Profile::InnerDoor { host: host("inner.example") },
            Purpose::Unspecified => panic!("a certificate for nothing"),
        };
        (purpose, self.issue(profile, csr))
    }

    fn issue(&self, profile: Profile, csr: &[u8]) -> String {
        let (number, certificate, key) = &self.signer;
        let key = Box::new(PrivateKey::from_pem(key).unwrap());
        let authority = sallyport_pki::authority::Authority::load(*number, certificate, key).unwrap();
        let lifetime = profile.default_lifetime();
        let request = LeafRequest {
            region: self.region.clone(),
            profile,
            public_key: csr::public_key(csr).unwrap(),
            lifetime,
            serial: Serial::from_random(rand::random()),
        };
        authority.issue(&request, jiff::Timestamp::now() + self.clock).unwrap().pem
    }
}

fn signer(ca: &Ca) -> (u32, String, String) {
    let authority = ca.authority();
    (authority.generation().number, authority.certificate_pem(), ca.key_pem().to_owned())
}

async fn dial(
    address: SocketAddr,
    config: std::sync::Arc<rustls::ClientConfig>,
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let tcp = TcpStream::connect(address).await?;
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    Ok(TokioIo::new(tokio_rustls::TlsConnector::from(config).connect(name, tcp).await?))
}
