//! Users on Unix: the system's databases.

use std::ffi::{CStr, CString};

use super::{Identity, UserError, id_number};

/// Room for the texts of one entry; a directory service may need much.
const ENTRY: usize = 64 << 10;

struct User {
    uid: u32,
    gid: u32,
    name: CString,
}

pub(super) fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Identity, UserError> {
    let found = user.map(find_user).transpose()?;
    let group = group.map(find_group).transpose()?;
    let (uid, own_group) = match &found {
        Some((uid, user)) => (*uid, user.as_ref().map(|user| user.gid)),
        // SAFETY: no memory is passed.
        None => (unsafe { libc::geteuid() }, None),
    };
    // A number without an entry has no group of its own: it gets one with its number.
    let gid = group.or(own_group).unwrap_or(uid);
    let groups = match found.and_then(|(_, user)| user) {
        Some(user) => groups_of(&user.name, gid),
        None => vec![gid],
    };
    Ok(Identity { uid, gid, groups })
}

fn find_user(text: &str) -> Result<(u32, Option<User>), UserError> {
    let unknown = || UserError::NoUser(text.to_owned());
    let name = CString::new(text).map_err(|_| unknown())?;
    let by_name = read_user(|entry, buffer, found| {
        // SAFETY: every pointer outlives the call, and the buffer's length is given.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, ENTRY, found) };
    });
    if let Some(user) = by_name {
        return Ok((user.uid, Some(user)));
    }
    let uid = id_number(text).ok_or_else(unknown)?;
    let by_number = read_user(|entry, buffer, found| {
        // SAFETY: as above.
        unsafe { libc::getpwuid_r(uid, entry, buffer, ENTRY, found) };
    });
    Ok((uid, by_number))
}

fn read_user(
    look: impl FnOnce(*mut libc::passwd, *mut libc::c_char, *mut *mut libc::passwd),
) -> Option<User> {
    // SAFETY: all zeroes is a valid passwd.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut buffer = vec![0; ENTRY];
    let mut found = std::ptr::null_mut();
    look(&raw mut entry, buffer.as_mut_ptr(), &raw mut found);
    if found.is_null() {
        return None;
    }
    // SAFETY: the entry was found, so its name is a text in the buffer.
    let name = unsafe { CStr::from_ptr(entry.pw_name) }.to_owned();
    Some(User { uid: entry.pw_uid, gid: entry.pw_gid, name })
}

fn find_group(text: &str) -> Result<u32, UserError> {
    let unknown = || UserError::NoGroup(text.to_owned());
    let name = CString::new(text).map_err(|_| unknown())?;
    // SAFETY: all zeroes is a valid group.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let mut buffer = vec![0; ENTRY];
    let mut found = std::ptr::null_mut();
    let place = buffer.as_mut_ptr();
    // SAFETY: every pointer outlives the call, and the buffer's length is given.
    unsafe { libc::getgrnam_r(name.as_ptr(), &raw mut entry, place, ENTRY, &raw mut found) };
    if found.is_null() { id_number(text).ok_or_else(unknown) } else { Ok(entry.gr_gid) }
}

#[cfg(target_os = "macos")]
type ListedGroup = i32;
#[cfg(not(target_os = "macos"))]
type ListedGroup = u32;

fn groups_of(name: &CStr, gid: u32) -> Vec<u32> {
    let mut groups: Vec<ListedGroup> = vec![0; 64];
    loop {
        let mut count = i32::try_from(groups.len()).unwrap_or(i32::MAX);
        let own = ListedGroup::from_ne_bytes(gid.to_ne_bytes());
        let list = groups.as_mut_ptr();
        // SAFETY: the list outlives the call, and its length is given.
        let done = unsafe { libc::getgrouplist(name.as_ptr(), own, list, &raw mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if done >= 0 {
            groups.truncate(count);
            return groups.into_iter().map(|id| u32::from_ne_bytes(id.to_ne_bytes())).collect();
        }
        if count <= groups.len() {
            return vec![gid];
        }
        groups.resize(count, 0);
    }
}
