//! The body of a request, which has to keep coming: its beginning in time, and then no more slowly than a
//! modem sends. So it holds its connection for a time that follows from its length, which is limited.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{BoxError, body::Bytes};
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that have to come in each second once the first time to wait is over.
pub(super) const BYTES_PER_SECOND_MIN: u64 = 16 << 10;

/// A body with a deadline that moves as it comes. The time counts from when somebody first waits for it.
#[derive(Debug)]
pub(super) struct Paced<B> {
    body: B,
    patience: Duration,
    received_bytes: u64,
    /// From the first wait on.
    began: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// The body came too slowly.
#[derive(Clone, Copy, Debug, Error)]
#[error("it came too slowly")]
struct Late;

impl<B> Paced<B> {
    /// `patience` is how long its beginning may take.
    pub(super) const fn new(body: B, patience: Duration) -> Self {
        Self {
            body,
            patience,
            received_bytes: 0,
            began: None,
            alarm: None,
        }
    }

    fn deadline(&mut self) -> Instant {
        let began = *self.began.get_or_insert_with(Instant::now);
        let earned_ms = self.received_bytes * 1_000 / BYTES_PER_SECOND_MIN;
        began + self.patience + Duration::from_millis(earned_ms)
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                let len = frame.data_ref().map_or(0, Bytes::len);
                self.received_bytes += len as u64;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = self.deadline();
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Some(Err(Late.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether a body could not be read because it came too slowly.
pub(super) fn is_late(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<Late>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use axum::body::Body as AnyBody;
    use tokio::{
        runtime::Builder,
        sync::watch::{Sender, channel},
        time::timeout,
    };
    use tokio_stream::{StreamExt as _, wrappers::WatchStream};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    /// A body to which this adds, and as much of it as came in time.
    fn paced() -> (Sender<Bytes>, Paced<AnyBody>) {
        let (sender, pieces) = channel(Bytes::new());
        let pieces = WatchStream::from_changes(pieces).map(Ok::<_, BoxError>);
        (sender, Paced::new(AnyBody::from_stream(pieces), PATIENCE))
    }

    async fn next(body: &mut Paced<AnyBody>) -> Option<Result<Frame<Bytes>, BoxError>> {
        poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
    }

    #[test]
    fn what_stops_coming_is_late_and_what_comes_earns_time() {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let (sender, mut body) = paced();
            // A second and more is earned by it.
            sender.send_replace(vec![0; 20 << 10].into());
            assert!(next(&mut body).await.is_some_and(|frame| frame.is_ok()));
            assert!(timeout(PATIENCE * 2, next(&mut body)).await.is_err());
            let error = next(&mut body).await.expect("not its end");
            let error = error.expect_err("nothing more came");
            assert!(is_late(&*error), "{error}");
            drop(sender);
        });
    }

    #[test]
    fn a_body_that_ends_is_whole() {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let (sender, mut body) = paced();
            drop(sender);
            assert!(next(&mut body).await.is_none());
        });
    }
}
