//! What the host calls. All of this crate's `unsafe` is here: the host's pointers are numbers that nobody checks.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr;
use std::slice;

/// Bytes before an answer.
const LENGTH: usize = 4;

fn layout(len: usize) -> Option<Layout> {
    Layout::array::<u8>(len).ok().filter(|_| len != 0)
}

/// Memory for `len` bytes; null where there is none, and for 0.
// SAFETY: no other symbol of this library has the name.
#[unsafe(no_mangle)]
pub extern "C" fn verifier_alloc(len: usize) -> *mut u8 {
    match layout(len) {
        // SAFETY: the layout's size is not 0.
        Some(layout) => unsafe { alloc(layout) },
        None => ptr::null_mut(),
    }
}

/// Gives memory back.
///
/// # Safety
/// `at` came from [`verifier_alloc`] of just this `len`, or is an answer of [`verifier_verify`] and `len` its length and four; it was
/// not given back before.
// SAFETY: no other symbol of this library has the name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn verifier_free(at: *mut u8, len: usize) {
    if let Some(layout) = layout(len)
        && !at.is_null()
    {
        // SAFETY: the caller's promise: the memory was taken with this layout, and is given back once.
        unsafe { dealloc(at, layout) }
    }
}

/// The report on a file: four bytes of length and so many of JSON; null where no memory is left.
///
/// # Safety
/// `len` bytes at `at` may be read, and nobody writes to them meanwhile.
// SAFETY: no other symbol of this library has the name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn verifier_verify(at: *const u8, len: usize) -> *mut u8 {
    let file = match at.is_null() || len == 0 {
        true => &[][..],
        // SAFETY: the caller's promise.
        false => unsafe { slice::from_raw_parts(at, len) },
    };
    let answer = super::answer(file);
    debug_assert!(answer.len() >= LENGTH);
    let out = verifier_alloc(answer.len());
    if !out.is_null() {
        // SAFETY: `out` was taken for as many bytes as the answer has, and is nobody else's.
        unsafe { ptr::copy_nonoverlapping(answer.as_ptr(), out, answer.len()) }
    }
    out
}
