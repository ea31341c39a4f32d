//! Packages that lie at an address of the web.
//!
//! ```text
//! Address (http, https) --Client::fetch--> Stream: one GET, front to end, gone on with after a drop
//!                       \-Client::open --> Ranged: pieces as they are asked for (ReadAt), or
//!                                          a Stream where the server knows no ranges
//! ```
//!
//! Only what the user typed comes here: nothing in a package is ever an address that is asked.

mod address;
mod error;
mod exchange;
mod ranged;
mod stream;

use std::{sync::Arc, time::Duration};

use rustls_pki_types::CertificateDer;
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig, TlsProvider},
};

pub use address::Address;
pub use error::HttpError;
use exchange::{Answer, Validator};
pub use ranged::Ranged;
pub use stream::Stream;

/// How often a server may send elsewhere (ours).
const MAX_REDIRECTS: u32 = 5;

/// How long a server may take to be found, to take a connection, to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a server may be silent in the middle of an answer.
const SILENCE: Duration = Duration::from_secs(60);

/// Asks servers.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
}

/// What a server has at an address.
#[derive(Debug)]
pub enum Remote {
    /// It can be read in pieces.
    Ranged(Ranged),
    /// It can only be read front to end.
    Stream(Stream),
}

impl Client {
    /// A client that trusts the certificates of this system for https.
    #[must_use]
    pub fn new() -> Self {
        let found = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<Certificate<'static>> = found.iter().map(certificate).collect();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&roots))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("relift/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(MAX_REDIRECTS)
            .timeout_resolve(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        Self { agent: config.new_agent() }
    }

    /// Begins to read what is at an address, front to end.
    ///
    /// # Errors
    /// The server is not there, refuses, or has nothing there.
    pub fn fetch(&self, address: &Address) -> Result<Stream, HttpError> {
        let answer = Answer::ask(&self.agent, address, None)?;
        Stream::new(self.agent.clone(), address, answer)
    }

    /// Looks at what is at an address, to be read in pieces where the server can do that.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub fn open(&self, address: &Address) -> Result<Remote, HttpError> {
        let answer = Answer::ask(&self.agent, address, Some(&(0..ranged::PIECE_BYTES, None)))?;
        if answer.part.is_some() {
            return Ranged::new(self.agent.clone(), address, answer).map(Remote::Ranged);
        }
        Stream::new(self.agent.clone(), address, answer).map(Remote::Stream)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

fn certificate(der: &CertificateDer<'static>) -> Certificate<'static> {
    Certificate::from_der(der).to_owned()
}
