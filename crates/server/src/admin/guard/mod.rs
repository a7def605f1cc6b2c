//! Who may: what stands before every route of the control plane.
//!
//! ```text
//!  request ─► a name of ours? ─► from our own page, or no page? ─► who is it? ─► may they? ─► route
//!              421                 403, 415                          401, 429      403
//! ```
//!
//! It knows nothing of what the routes do; each says where it is declared which scope it needs
//! (`scope`), and one that says nothing needs the highest.

mod attempts;
mod credentials;
mod headers;
mod passwords;
mod refusal;
mod scope;
mod site;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State as Held},
    http::{HeaderMap, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use self::{
    attempts::Attempts,
    credentials::{Credential, Keys},
    headers::Headers,
    passwords::Passwords,
    refusal::Refusal,
    scope::Need,
    site::Site,
};
pub(super) use self::{
    passwords::THREADS as PASSWORD_THREADS,
    scope::{Needs, open, publish, read},
};
use crate::{
    config::{Admin, Scope, Scopes},
    repetition::Repetitions,
};

/// Who asks: put into each request by the listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Whether the connection is TLS.
    pub(super) is_secure: bool,
}

/// Who may do what, and how often anyone may try.
#[derive(Debug)]
pub(super) struct Guard {
    is_open: bool,
    needs: Needs,
    site: Site,
    headers: Headers,
    keys: Keys,
    passwords: Passwords,
    attempts: Attempts,
    /// What was said of attempts that failed, and of those not looked at.
    said: Repetitions<StatusCode>,
    started: Instant,
}

/// Who asks, once it is known.
#[derive(Clone, Copy, Debug)]
struct Who<'g> {
    name: &'g str,
    scopes: Scopes,
}

/// Whom a request says to be from, and what it is for.
struct Claim {
    need: Need,
    address: IpAddr,
    credential: Credential,
    /// What is answered when it is not so.
    challenge: Refusal,
}

impl Guard {
    /// `sockets` is where WebSockets are accepted, which the console of the page connects to.
    pub(super) fn new(admin: &Admin, needs: Needs, sockets: SocketAddr) -> Self {
        Self {
            is_open: admin.is_open(),
            needs,
            site: Site::new(admin),
            headers: Headers::new(sockets),
            keys: Keys::new(&admin.keys),
            passwords: Passwords::new(&admin.users),
            attempts: Attempts::default(),
            said: Repetitions::default(),
            started: Instant::now(),
        }
    }

    /// Lets a request pass, says why not, or whose credential is to be looked at before.
    fn examine(&self, request: &Request) -> Result<Option<Claim>, Refusal> {
        let need = self.need(request);
        // Whoever starts the server again or sends it traffic knows it by an address, and no secret.
        if need == Need::Nothing {
            return Ok(None);
        }
        let peer = request.extensions().get().copied();
        let peer: Peer = peer.unwrap_or(Peer::UNKNOWN);
        self.site.check(request, peer.is_secure, self.is_open)?;
        if self.is_open {
            return Ok(None);
        }
        let is_page = !self.passwords.is_empty() && headers::is_page(request.uri().path());
        let challenge = Refusal::Nobody { is_page };
        // Who shows nothing guesses nothing.
        let credential = Credential::of(request.headers()).ok_or(challenge)?;
        Ok(Some(Claim {
            need,
            address: peer.address.ip(),
            credential,
            challenge,
        }))
    }

    /// Lets those pass who are who they say and may do what they ask.
    async fn settle(&self, claim: Claim) -> Result<Who<'_>, Refusal> {
        let who = self.identify(&claim).await?;
        match claim.need {
            Need::Scope(scope) if who.scopes.allow(scope) => Ok(who),
            Need::Scope(scope) => Err(Refusal::Scope(scope)),
            Need::Unknown if who.scopes.allow(Scope::Admin) => Ok(who),
            Need::Unknown | Need::Nothing => Err(Refusal::NoRoute),
        }
    }

    /// What a request needs: where no route is declared, the highest scope.
    fn need(&self, request: &Request) -> Need {
        let route = request.extensions().get::<MatchedPath>();
        route.map_or(Need::Unknown, |route| {
            self.needs.of(request.method(), route.as_str())
        })
    }

    /// Finds out who asks, and what they may.
    ///
    /// What is right and costs nothing to see always passes: others at the same address, behind one proxy,
    /// must not be able to keep somebody out.
    async fn identify(&self, claim: &Claim) -> Result<Who<'_>, Refusal> {
        let address = claim.address;
        let known = match &claim.credential {
            Credential::Key(key) => self.keys.find(key),
            Credential::Password { name, password } => self.passwords.remembered(name, password),
            Credential::Unreadable => None,
        };
        if let Some(who) = known {
            return Ok(who);
        }
        self.attempts_left(address)?;
        let charge = || {
            self.attempts_left(address)?;
            self.attempts.fail(address, self.started.elapsed());
            Ok(())
        };
        if let Credential::Password { name, password } = &claim.credential {
            let who = self.passwords.check(name, password, charge).await?;
            if let Some(who) = who {
                self.attempts.refund(address, self.started.elapsed());
                return Ok(who);
            }
        } else {
            charge()?;
        }
        self.say(StatusCode::UNAUTHORIZED, address);
        Err(claim.challenge)
    }

    fn attempts_left(&self, address: IpAddr) -> Result<(), Refusal> {
        self.attempts
            .check(address, self.started.elapsed())
            .map_err(|wait| {
                self.say(StatusCode::TOO_MANY_REQUESTS, address);
                Refusal::TooMany(wait)
            })
    }

    /// Says once a minute that somebody tries.
    fn say(&self, status: StatusCode, address: IpAddr) {
        let Some(again) = self.said.note(status, self.started.elapsed()) else {
            return;
        };
        if status == StatusCode::UNAUTHORIZED {
            tracing::warn!(%address, again, "a wrong key or password was shown to the admin side");
        } else {
            tracing::warn!(%address, again, "too many wrong keys or passwords: not looked at for a while");
        }
    }
}

impl Peer {
    /// Who came another way than through the listener: nobody.
    const UNKNOWN: Self = Self {
        address: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
        is_secure: false,
    };
}

/// Stands before the routes.
pub(super) async fn guard(Held(guard): Held<Arc<Guard>>, request: Request, next: Next) -> Response {
    let asked = guard.headers.ask(&request);
    let origin = guard.site.listed_origin(request.headers()).cloned();
    if let Some(origin) = origin.as_ref().filter(|_| is_preflight(&request)) {
        let mut response = StatusCode::NO_CONTENT.into_response();
        headers::allow_preflight(response.headers_mut());
        headers::allow_origin(response.headers_mut(), origin);
        guard.headers.add(&asked, response.headers_mut());
        return response;
    }
    let passes = match guard.examine(&request) {
        Ok(Some(claim)) => {
            let is_change = claim.need == Need::Scope(Scope::Admin);
            let settled = guard.settle(claim).await;
            settled.map(|who| is_change.then_some(who.name))
        }
        Ok(None) => Ok(None),
        Err(refusal) => Err(refusal),
    };
    let mut response = match passes {
        Ok(None) => next.run(request).await,
        Ok(Some(name)) => {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let response = next.run(request).await;
            let status = response.status().as_u16();
            tracing::info!(name, %method, path, status, "the server was told to change");
            response
        }
        Err(refusal) => refusal.into_response(),
    };
    let head = response.headers_mut();
    guard.headers.add(&asked, head);
    if guard.site.has_listed_origins() {
        headers::vary_by_origin(head);
    }
    if let Some(origin) = &origin {
        headers::allow_origin(head, origin);
    }
    response
}

/// Whether a browser asks what a page may; Fetch standard, "CORS-preflight request".
fn is_preflight(request: &Request) -> bool {
    let asks = |headers: &HeaderMap| headers.contains_key("access-control-request-method");
    request.method() == Method::OPTIONS && asks(request.headers())
}
