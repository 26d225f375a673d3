//! Names: looked up by the resolver of the host, which may take half a minute and cannot
//! be stopped.
//!
//! Looks that want the same name wait for the same answer, so that a name which nobody
//! answers for takes one thread and not one for each look. A turn is given back when the
//! resolver is done, and not when a look has lost its patience. No answer is kept.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

/// Names that are looked up at once. Each takes a thread, for as long as the resolver takes.
const AT_ONCE: usize = 16;
/// Addresses of one name that are looked at.
const MOST_ADDRESSES: usize = 16;

/// The addresses of a name, or why there are none.
pub(crate) type Found = Result<Vec<IpAddr>, String>;
type UnderWay = HashMap<String, watch::Receiver<Option<Found>>>;
type Resolver = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// What looks names up.
pub(crate) struct Names {
    resolver: Arc<Resolver>,
    turns: Arc<Semaphore>,
    under_way: Arc<Mutex<UnderWay>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("turns", &self.turns).finish_non_exhaustive()
    }
}

impl Names {
    /// By the resolver of the host.
    pub(crate) fn of_the_host() -> Self {
        Self::by(|name| Ok((name, 0).to_socket_addrs()?.map(|found| found.ip()).collect()))
    }

    fn by(resolver: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        let (turns, under_way) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::default());
        Self { resolver: Arc::new(resolver), turns, under_way }
    }

    /// Looks a name up, or waits for whoever does.
    pub(crate) async fn find(&self, name: &str) -> Found {
        let mut answer = self.ask(name);
        match answer.wait_for(Option::is_some).await {
            Ok(found) => found.clone().unwrap_or_else(|| Ok(Vec::new())),
            Err(_) => Err("the resolver crashed".to_owned()),
        }
    }

    fn ask(&self, name: &str) -> watch::Receiver<Option<Found>> {
        let mut under_way = lock(&self.under_way);
        if let Some(answer) = under_way.get(name) {
            return answer.clone();
        }
        let (sender, answer) = watch::channel(None);
        under_way.insert(name.to_owned(), answer.clone());
        drop(under_way);
        let (turns, names) = (Arc::clone(&self.turns), Arc::clone(&self.under_way));
        let (resolver, name) = (Arc::clone(&self.resolver), name.to_owned());
        // It goes on when the look that asked is over.
        tokio::spawn(async move {
            let _turn = turns.acquire().await;
            let wanted = name.clone();
            let found = tokio::task::spawn_blocking(move || resolver(&wanted)).await;
            let found = match found {
                Ok(Ok(found)) => Ok(found.into_iter().take(MOST_ADDRESSES).collect()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            // Whoever asks from now on asks anew.
            lock(&names).remove(&name);
            drop(sender.send(Some(found)));
        });
        answer
    }
}

fn lock(under_way: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn a_name_that_nobody_answers_for_takes_one_thread_and_holds_up_no_other_name() {
        // Row 109.
        run(async {
            let asked = Arc::new(AtomicUsize::new(0));
            let (go, gone) = channel::<()>();
            let (count, gone) = (Arc::clone(&asked), Mutex::new(gone));
            let names = Names::by(move |name| {
                if name == "slow" {
                    count.fetch_add(1, Ordering::SeqCst);
                    // Until the test is over.
                    let _ = gone.lock().unwrap().recv();
                }
                Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
            });
            for _ in 0..100 {
                let patience = tokio::time::timeout(Duration::from_millis(1), names.find("slow"));
                assert!(patience.await.is_err());
            }
            let quick = names.find("quick").await;
            assert_eq!(quick, Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]));
            assert!(asked.load(Ordering::SeqCst) <= 1);
            drop(go);
            assert!(names.find("slow").await.is_ok());
            assert!(lock(&names.under_way).is_empty());
        });
    }

    #[test]
    fn of_a_thousand_addresses_a_few_are_looked_at_and_an_unknown_name_is_told() {
        // Row 109.
        run(async {
            let names = Names::by(|name| match name {
                "many" => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST); 1000]),
                _ => Err(io::Error::other("Name or service not known")),
            });
            assert_eq!(names.find("many").await.map(|found| found.len()), Ok(MOST_ADDRESSES));
            assert_eq!(names.find("none").await, Err("Name or service not known".to_owned()));
        });
    }

    #[test]
    fn a_name_is_asked_for_anew_by_each_look_so_that_nothing_old_is_believed() {
        // Row 109.
        run(async {
            let last = AtomicUsize::new(0);
            let names = Names::by(move |_| {
                let last = u8::try_from(last.fetch_add(1, Ordering::SeqCst)).unwrap_or(0);
                Ok(vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))])
            });
            assert_ne!(names.find("moves").await, names.find("moves").await);
        });
    }
}
