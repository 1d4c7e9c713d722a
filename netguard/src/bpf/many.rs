//! Reads or writes many entries of a map per system call (`BPF_MAP_LOOKUP_BATCH` and `BPF_MAP_UPDATE_BATCH`, Linux 5.6; of arrays of
//! maps, 5.13), which aya does not offer: a list of a million takes a tenth of a second so, and two seconds one by one.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{Pod, maps::MapData};

/// Entries per call. A hash hands over whole buckets, and no bucket is nearly as long.
const AT_ONCE: usize = 4_096;
/// `BPF_MAP_LOOKUP_BATCH` and `BPF_MAP_UPDATE_BATCH` of `enum bpf_cmd`.
const LOOKUP_BATCH: libc::c_long = 24;
const UPDATE_BATCH: libc::c_long = 26;

/// `struct { ... } batch` of `union bpf_attr` (linux/bpf.h).
#[repr(C)]
struct Batch {
    /// Where to go on, or null at the beginning.
    from: u64,
    /// Where the kernel writes that.
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    entry_flags: u64,
    flags: u64,
}

/// All entries of the hash or trie `map`, whose keys and values are `K` and `V`; `zero` is any entry. Those that come or go
/// meanwhile may be among them or not.
///
/// # Errors
/// When the kernel refuses; an old one has no batches for tries.
pub(super) fn read_all<K: Pod, V: Pod>(map: &MapData, zero: (K, V)) -> io::Result<Vec<(K, V)>> {
    let mut entries = Vec::new();
    let mut keys = vec![zero.0; AT_ONCE];
    let mut values = vec![zero.1; AT_ONCE];
    // A position is a bucket's number in a hash, and a key in a trie.
    let mut position = vec![0_u64; size_of::<K>().div_ceil(8).max(1)];
    let mut next = position.clone();
    let mut first = true;
    loop {
        let mut batch = Batch {
            from: if first { 0 } else { position.as_ptr() as u64 },
            to: next.as_mut_ptr() as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: AT_ONCE as u32,
            map: map.fd().as_fd().as_raw_fd().cast_unsigned(),
            entry_flags: 0,
            flags: 0,
        };
        let end = match call(LOOKUP_BATCH, &mut batch) {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            // A trie whose entries went while they were read (before Linux 6.14): what was read so far counts.
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {
                if batch.count == 0 {
                    continue;
                }
                false
            }
            Err(error) => return Err(error),
        };
        let count = (batch.count as usize).min(AT_ONCE);
        entries.extend(keys[..count].iter().copied().zip(values[..count].iter().copied()));
        if end {
            return Ok(entries);
        }
        std::mem::swap(&mut position, &mut next);
        first = false;
    }
}

/// Writes `values` under `keys`, in their order.
///
/// # Errors
/// When the kernel refuses; then those before the one that it refused are written.
pub(super) fn write_all<K: Pod, V: Pod>(map: &MapData, keys: &[K], values: &[V]) -> io::Result<()> {
    let count = keys.len().min(values.len());
    let mut batch = Batch {
        from: 0,
        to: 0,
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: u32::try_from(count).map_err(io::Error::other)?,
        map: map.fd().as_fd().as_raw_fd().cast_unsigned(),
        entry_flags: 0,
        flags: 0,
    };
    call(UPDATE_BATCH, &mut batch)
}

fn call(command: libc::c_long, batch: &mut Batch) -> io::Result<()> {
    let size = size_of::<Batch>();
    // SAFETY: the pointers in `batch` are to memory of the caller that is large enough for `count` entries, and any bytes are
    // valid ones where the kernel writes.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(batch), size) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
