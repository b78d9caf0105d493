//! The tiles of the matrix unit: detection, configuration, instructions.
//!
//! The instructions are written in assembler, since Rust's functions for them are not stable. Compilers do not use
//! tiles by themselves, so tiles keep their contents from one of these functions to the next.

use std::arch::asm;
use std::sync::OnceLock;

use super::bf16_terms::{HALVES, LINES, Row};
use crate::instructions::{InstructionSet, allows};

/// Returns whether the process may use the unit. The first call requests permission from the system.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let avx = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        allows(InstructionSet::Amx) && avx && unit_exists() && permitted()
    })
}

/// Whether the processor has tiles, and products of bf16 tiles.
fn unit_exists() -> bool {
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    std::arch::x86_64::__cpuid(0).eax >= 7
        && std::arch::x86_64::__cpuid_count(7, 0).edx & BF16_AND_TILES == BF16_AND_TILES
}

/// Requests space for tiles in the kernel's thread state; permission then applies to all threads.
fn permitted() -> bool {
    const REQUEST_PERMISSION: libc::c_long = 0x1023; // ARCH_REQ_XCOMP_PERM
    const TILE_DATA: libc::c_long = 18; // XFEATURE_XTILEDATA
    // SAFETY: the call takes two numbers and touches no memory of this process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

/// Bytes between the halves of a term's tiles, and between the terms of a panel.
const HALF: usize = LINES * size_of::<Row>();
const TERM: usize = HALVES * HALF;

/// Sets the result, tiles 0 to 3, to a block of `32×32` elements, whose rows begin `width` elements apart, or to zeros.
///
/// # Safety
/// Tiles must be configured; the block, if any, must be valid and initialized.
#[inline(always)]
pub(super) unsafe fn begin(block: Option<*const f32>, width: usize) {
    // SAFETY: by this function's contract; no compiler uses tiles.
    unsafe {
        match block {
            None => asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem)),
            Some(block) => asm!(
                "tileloadd tmm0, [{top} + {stride}]",
                "tileloadd tmm1, [{top} + {stride} + 64]",
                "tileloadd tmm2, [{bottom} + {stride}]",
                "tileloadd tmm3, [{bottom} + {stride} + 64]",
                top = in(reg) block,
                bottom = in(reg) block.add(LINES * width),
                stride = in(reg) width * size_of::<f32>(),
                options(nostack, readonly),
            ),
        }
    }
}

/// Adds the product of one step of two panels to the result.
///
/// # Safety
/// Tiles must be configured; both panels must be valid for a step.
#[inline(always)]
pub(super) unsafe fn step(a: *const Row, b: *const Row) {
    // Pairs of terms are ordered so that each but the first changes one factor only. a₀ is read twice: there are tiles
    // for one term of each factor. SAFETY: by this function's contract; no compiler uses tiles.
    unsafe {
        asm!(
            // a₀·b₂
            "tileloadd tmm4, [{a} + {row}]",
            "tileloadd tmm5, [{a} + {row} + {HALF}]",
            "tileloadd tmm6, [{b} + {row} + 2 * {TERM}]",
            "tileloadd tmm7, [{b} + {row} + 2 * {TERM} + {HALF}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // a₀·b₁
            "tileloadd tmm6, [{b} + {row} + {TERM}]",
            "tileloadd tmm7, [{b} + {row} + {TERM} + {HALF}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // a₁·b₁
            "tileloadd tmm4, [{a} + {row} + {TERM}]",
            "tileloadd tmm5, [{a} + {row} + {TERM} + {HALF}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // a₁·b₀
            "tileloadd tmm6, [{b} + {row}]",
            "tileloadd tmm7, [{b} + {row} + {HALF}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // a₂·b₀
            "tileloadd tmm4, [{a} + {row} + 2 * {TERM}]",
            "tileloadd tmm5, [{a} + {row} + 2 * {TERM} + {HALF}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // a₀·b₀
            "tileloadd tmm4, [{a} + {row}]",
            "tileloadd tmm5, [{a} + {row} + {HALF}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            a = in(reg) a,
            b = in(reg) b,
            row = in(reg) size_of::<Row>(),
            TERM = const TERM,
            HALF = const HALF,
            options(nostack, readonly),
        );
    }
}

/// Writes the result to a block of `32×32` elements, whose rows begin `width` elements apart.
///
/// # Safety
/// Tiles must be configured, and the block valid.
#[inline(always)]
pub(super) unsafe fn end(block: *mut f32, width: usize) {
    // SAFETY: by this function's contract.
    unsafe {
        asm!(
            "tilestored [{top} + {stride}], tmm0",
            "tilestored [{top} + {stride} + 64], tmm1",
            "tilestored [{bottom} + {stride}], tmm2",
            "tilestored [{bottom} + {stride} + 64], tmm3",
            top = in(reg) block,
            bottom = in(reg) block.add(LINES * width),
            stride = in(reg) width * size_of::<f32>(),
            options(nostack),
        );
    }
}

/// The unit of this thread, set to eight whole tiles until dropped.
pub(super) struct Tiles;

impl Tiles {
    pub(super) fn configure() -> Self {
        /// The processor's description of its tiles.
        #[repr(C, align(64))]
        struct Config {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            row_bytes: [u16; 16],
            rows: [u8; 16],
        }
        let used = |value| std::array::from_fn(|tile| if tile < 8 { value } else { 0 });
        let row_bytes = used(64);
        let rows = used(LINES as u16).map(|rows| rows as u8);
        let config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows };
        // SAFETY: the caller holds a packed factor, so that the unit is there; the description is the manual's.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
        Self
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there is a configuration to release. Released, the kernel has less to keep when it switches threads.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
