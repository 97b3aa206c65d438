use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::metrics::Metrics;

const MIB: usize = 1 << 20;

fn memory(bytes: usize) -> (UploadMemory, Arc<Metrics>) {
    let metrics = Metrics::new().expect("valid metrics");
    let memory = UploadMemory::new(bytes, metrics.memory.uploads.clone());
    (memory, metrics)
}

/// Whether an upload gets what it asks for at once.
fn grows(lease: &mut UploadLease, bytes: usize, most: usize) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    lease
        .poll_grow(&mut context, bytes, Some(most), usize::MAX)
        .is_ready()
}

#[test]
fn uploads_that_need_more_than_there_is_all_end() {
    // Each upload asks for more as its bytes come, as one whose network is shared with the others.
    for seed in 0..20 {
        let (memory, metrics) = memory(64 * MIB);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut draw = |below: usize| (random.next_u64() % below as u64) as usize;
        let mut uploads: Vec<(UploadLease, usize, usize)> = (0..60)
            .map(|_| (memory.lease(), 0, MIB + draw(12 * MIB)))
            .collect();
        let mut rounds = 0;
        while !uploads.is_empty() {
            rounds += 1;
            assert!(
                rounds < 10_000,
                "seed {seed}: {} uploads wait for ever",
                uploads.len()
            );
            for (lease, received, size) in &mut uploads {
                let next = (*received + draw(MIB)).min(*size);
                if grows(lease, next, *size) {
                    *received = next;
                }
            }
            assert!(metrics.upload_memory().used <= 64 * MIB as u64);
            uploads.retain(|(_, received, size)| received < size);
        }
        assert_eq!(metrics.upload_memory().used, 0);
    }
}

#[test]
fn an_upload_of_unknown_size_claims_the_limit_when_it_is_large() {
    let (memory, _) = memory(8 * MIB);
    let mut context = Context::from_waker(Waker::noop());
    // 7 MiB for large uploads; small ones have up to 256 KiB.
    let mut unknown = memory.lease();
    assert!(
        unknown
            .poll_grow(&mut context, 200 << 10, None, 6 * MIB)
            .is_ready()
    );
    assert!(
        unknown
            .poll_grow(&mut context, MIB, None, 6 * MIB)
            .is_ready()
    );
    let mut other = memory.lease();
    assert!(grows(&mut other, 3 * MIB, 6 * MIB));
    // Neither could end.
    let mut grow = |bytes| {
        unknown
            .poll_grow(&mut context, bytes, None, 6 * MIB)
            .is_ready()
    };
    assert!(!grow(3 * MIB));
    other.settle(3 * MIB);
    assert!(grow(3 * MIB));
}

#[test]
fn small_uploads_do_not_wait_for_large_ones() {
    let (memory, _) = memory(8 * MIB);
    let mut large = memory.lease();
    assert!(grows(&mut large, 7 * MIB, 7 * MIB));
    assert!(!grows(&mut memory.lease(), MIB, MIB));
    let mut small: Vec<UploadLease> = (0..4).map(|_| memory.lease()).collect();
    assert!(
        small
            .iter_mut()
            .all(|lease| grows(lease, 256 << 10, 256 << 10))
    );
    // Their part is used up, too.
    assert!(!grows(&mut memory.lease(), 1 << 10, 1 << 10));
    small.pop();
    assert!(grows(&mut memory.lease(), 1 << 10, 1 << 10));
}

#[test]
fn beginners_wait_in_their_order() {
    let (memory, _) = memory(8 * MIB);
    let [mut first, mut second, mut third] = [(); 3].map(|()| memory.lease());
    assert!(grows(&mut first, 6 * MIB, 6 * MIB));
    assert!(!grows(&mut second, 7 * MIB, 7 * MIB));
    // There would be room for the third.
    assert!(!grows(&mut third, 512 << 10, 512 << 10));
    let turns = memory.turns();
    drop(first);
    assert!(grows(&mut second, 7 * MIB, 7 * MIB));
    assert_ne!(memory.turns(), turns);
    assert!(!grows(&mut third, 512 << 10, 512 << 10));
    drop(second);
    assert!(grows(&mut third, 512 << 10, 512 << 10));
}

#[tokio::test]
async fn who_waits_is_woken() {
    let (memory, metrics) = memory(8 * MIB);
    let mut first = memory.lease();
    first.grow(7 * MIB, Some(7 * MIB), usize::MAX).await;
    let mut second = memory.lease();
    let waiting = tokio::spawn(async move {
        second.grow(2 * MIB, Some(2 * MIB), usize::MAX).await;
        second.bytes()
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    first.settle(5 * MIB + 1);
    assert_eq!(first.bytes(), 5 * MIB + 1);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    first.settle(5 * MIB);
    assert_eq!(waiting.await.expect("no panic"), 2 * MIB);
    drop(first);
    assert_eq!(metrics.upload_memory().used, 0);
}

#[test]
fn who_gives_up_does_not_hold_up_others() {
    let (memory, _) = memory(8 * MIB);
    let [mut first, mut second, mut third] = [(); 3].map(|()| memory.lease());
    assert!(grows(&mut first, 6 * MIB, 6 * MIB));
    assert!(!grows(&mut second, 7 * MIB, 7 * MIB));
    assert!(!grows(&mut third, MIB, MIB));
    drop(second);
    assert!(grows(&mut third, MIB, MIB));
}

#[test]
fn more_than_there_is_counts_as_all() {
    let (memory, _) = memory(8 * MIB);
    let mut lease = memory.lease();
    assert!(grows(&mut lease, usize::MAX, usize::MAX));
    assert_eq!(lease.bytes(), 7 * MIB);
}

#[test]
fn uploads_of_one_client_leave_room_for_others() {
    let (all, metrics) = memory(64 * MIB);
    let client = |name: &str| all.of(&Client::Creator(name.into()));
    let (many, one) = (client("many"), client("one"));
    for size in [MIB, 4 * MIB] {
        let mut held: Vec<UploadLease> = (0..200).map(|_| many.lease()).collect();
        // All of the first bytes come, and no more.
        let begun = held
            .iter_mut()
            .filter_map(|lease| grows(lease, 1 << 18, size).then_some(()))
            .count();
        let part = if size == MIB { 4 * MIB } else { 28 * MIB };
        assert_eq!(begun, part / size);
        // Those that wait do not hold up another client, which has a part of its own.
        let mut others: Vec<UploadLease> = (0..3).map(|_| one.lease()).collect();
        assert!(others.iter_mut().all(|lease| grows(lease, size, size)));
        // When one ends, the next one of the same client begins.
        let ended = held.remove(0);
        let waiting = held.iter().filter(|lease| lease.bytes() == 0).count();
        drop(ended);
        let left = held.iter().filter(|lease| lease.bytes() == 0).count();
        assert_eq!(left + 1, waiting);
        drop(others);
        drop(held);
        assert_eq!(metrics.upload_memory().used, 0);
    }
    // One upload alone may claim all.
    let mut large = many.lease();
    assert!(grows(&mut large, 56 * MIB, 56 * MIB));
    let states = [&all.small, &all.large].map(|bank| bank.lock().claimed.len());
    assert_eq!(states, [0, 1]);
}
