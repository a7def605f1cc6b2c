//! Who may: what stands before every route of the control plane.
//!
//! ```text
//!  request ─► a name of ours? ─► from our own page, or no page? ─► who is it? ─► may they? ─► route
//!              421                 403, 415                          401, 429      403
//! ```
//!
//! Whoever passes is known to the route ([`Caller`]), and each change leaves a line in the log ([`Deed`]).
//!
//! It knows nothing of what the routes do; each says where it is declared which scope it needs
//! (`scope`), and one that says nothing needs the highest.

mod attempts;
mod caller;
mod credentials;
mod deed;
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
    deed::Change,
    headers::Headers,
    passwords::Passwords,
    refusal::Refusal,
    scope::Need,
    site::Site,
};
pub(super) use self::{
    attempts::source,
    caller::Caller,
    deed::Deed,
    passwords::THREADS as PASSWORD_THREADS,
    scope::{Needs, open, publish, read},
};
use super::refused::{OfRequest, Refused};
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
    refused: Refused,
    started: Instant,
}

/// Who asks, once it is known.
#[derive(Clone, Copy, Debug)]
struct Who<'g> {
    means: Means,
    name: &'g str,
    scopes: Scopes,
}

/// By what somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Key,
    Login,
}

/// Whom a request says to be from, and what it is for.
struct Claim {
    need: Need,
    address: IpAddr,
    credential: Credential,
    /// Whether a browser is to ask for a password.
    is_page: bool,
}

impl Guard {
    /// `sockets` is where WebSockets are accepted, which the console of the page connects to.
    /// `host` is what the server is known by.
    pub(super) fn new(
        admin: &Admin,
        needs: Needs,
        sockets: SocketAddr,
        host: Option<String>,
        refused: Refused,
    ) -> Self {
        Self {
            is_open: admin.is_open(),
            needs,
            site: Site::new(admin),
            headers: Headers::new(sockets, host),
            keys: Keys::new(&admin.keys),
            passwords: Passwords::new(&admin.users),
            attempts: Attempts::default(),
            said: Repetitions::default(),
            refused,
            started: Instant::now(),
        }
    }

    /// Lets a request pass, says why not, or whose credential is to be looked at before.
    fn examine(&self, request: &Request, need: Need, peer: Peer) -> Result<Option<Claim>, Refusal> {
        // Whoever starts the server again or sends it traffic knows it by an address, and no secret.
        if need == Need::Nothing {
            return Ok(None);
        }
        self.site.check(request, peer.is_secure, self.is_open)?;
        if self.is_open {
            return Ok(None);
        }
        let is_page = !self.passwords.is_empty() && headers::is_page(request.uri().path());
        // Who shows nothing guesses nothing.
        let nothing = Refusal::Nobody {
            is_page,
            is_wrong: false,
        };
        let credential = Credential::of(request.headers()).ok_or(nothing)?;
        Ok(Some(Claim {
            need,
            address: peer.address.ip(),
            credential,
            is_page,
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
        Err(Refusal::Nobody {
            is_page: claim.is_page,
            is_wrong: true,
        })
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
    let peer = request.extensions().get().copied();
    let (need, peer) = (guard.need(&request), peer.unwrap_or(Peer::UNKNOWN));
    let admitted = match guard.examine(&request, need, peer) {
        Ok(Some(claim)) => guard.settle(claim).await.map(Caller::from),
        Ok(None) => Ok(Caller::Open),
        Err(refusal) => Err(refusal),
    };
    let mut response = match admitted {
        Ok(caller) => carry_out(caller, need, peer, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    if let Some(reason) = reason(&response) {
        guard.refused.count_request(reason);
    }
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

/// Lets a request go on; what changes something leaves its line in the log.
async fn carry_out(
    caller: Caller,
    need: Need,
    peer: Peer,
    mut request: Request,
    next: Next,
) -> Response {
    let change = match need {
        Need::Scope(Scope::Admin) => Some(Change::Server),
        Need::Scope(Scope::Publish) => Some(Change::Messages),
        Need::Scope(Scope::Read) | Need::Nothing | Need::Unknown => None,
    };
    let deed = change.map(|change| Deed::begin(change, caller.clone(), peer.address, &request));
    let extensions = request.extensions_mut();
    extensions.insert(caller);
    if let Some(deed) = &deed {
        extensions.insert(deed.clone());
    }
    let response = next.run(request).await;
    if let Some(deed) = deed {
        match response.status() {
            // The route has no such method, so nothing was asked that could have changed anything.
            StatusCode::METHOD_NOT_ALLOWED => deed.forget(),
            status => deed.end(status),
        }
    }
    response
}

/// Why a request was refused, if it was.
fn reason(response: &Response) -> Option<OfRequest> {
    let refusal = response.extensions().get::<Refusal>();
    refusal.map_or_else(
        || match response.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Some(OfRequest::BodyTooLarge),
            StatusCode::REQUEST_TIMEOUT => Some(OfRequest::BodyTooSlow),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(OfRequest::NotJson),
            _ => None,
        },
        |refusal| refusal.reason(),
    )
}

impl From<Who<'_>> for Caller {
    fn from(who: Who<'_>) -> Self {
        match who.means {
            Means::Key => Self::Key(who.name.into()),
            Means::Login => Self::User(who.name.into()),
        }
    }
}

/// Whether a browser asks what a page may; Fetch standard, "CORS-preflight request".
fn is_preflight(request: &Request) -> bool {
    let asks = |headers: &HeaderMap| headers.contains_key("access-control-request-method");
    request.method() == Method::OPTIONS && asks(request.headers())
}

#[cfg(test)]
mod tests;
