//! The 20 ms path allocates nothing once its buffers have grown: counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use parlance_media::ears::Ears;
use parlance_media::format::{AudioFormat, Encoding};
use parlance_media::framer::Framer;
use parlance_media::pacer::{DEFAULT_LEAD_US, Pacer};
use parlance_media::resample::Resampler;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One frame in and one frame out, as a telephone leg has them.
struct Leg {
    format: AudioFormat,
    up: Resampler,
    down: Resampler,
    framer: Framer,
    ears: Ears,
    pacer: Pacer,
}

#[test]
fn a_frame_on_its_way_in_and_out_allocates_nothing() {
    let mut leg = Leg {
        format: AudioFormat::new(Encoding::MuLaw, 8_000).unwrap(),
        up: Resampler::new(8_000, 16_000).unwrap(),
        down: Resampler::new(24_000, 8_000).unwrap(),
        framer: Framer::new(16_000, 0),
        ears: Ears::new(),
        pacer: Pacer::new(DEFAULT_LEAD_US, 0),
    };
    let wire: Vec<u8> = (0..160_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let reply = vec![1_000; 480];
    let (mut narrow, mut wide, mut heard, mut out) = (vec![], vec![], vec![], vec![]);
    let mut before = 0;
    // Blocks of 170 bytes, so that the framer has to keep a rest.
    for (number, block) in wire.chunks_exact(170).enumerate() {
        narrow.clear();
        wide.clear();
        heard.clear();
        leg.format.decode(block, &mut narrow).unwrap();
        leg.up.process(&narrow, &mut wide);
        let ears = &mut leg.ears;
        leg.framer.push(&wide, |frame| ears.push(frame.at_us, frame.samples.try_into().unwrap(), &mut heard));

        narrow.clear();
        out.clear();
        leg.down.process(&reply, &mut narrow);
        leg.format.encode(&narrow, &mut out);
        let now_us = number as u64 * 20_000;
        leg.pacer.sent(now_us, leg.pacer.due(now_us));
        if number == 100 {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
    }
    let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert!(before > 0 && allocated == 0, "{allocated} allocations in steady state");
}
