/** The cases of the file `cases` beside this one, and what each of them proves. */
export const cases: ReadonlyMap<string, string> = new Map([
  ['insert', 'put in under load: every completed write is in the capture, the disk is equal'],
  ['again', 'taken out and put in again under load, on the same device: no error'],
  ['busy', 'an NBD device that somebody else has is refused, and he is not disturbed'],
  ['kill-server', 'the server is killed: the guard takes the mirror away, no error'],
  ['stop-server', 'the server is stopped: the same'],
  ['kill-guard', 'the guard is killed: the session takes the mirror away, no error'],
  ['stop-guard', 'the guard is stopped: the same'],
  ['kill-all', 'all are killed: writes wait, and go on when the next command repairs'],
  ['refresh', 'LVM takes the mirror away: noticed before another epoch can be whole'],
  ['extend', 'lvextend, then the server is killed: the new table stays'],
  ['pvmove', 'the server is killed in the middle of a pvmove: the move is completed'],
  ['beside-lvm', 'LVM extends the volume while mirrors come and go: its table stays'],
  ['guest-pv', "a guest's own volume group is not seen by this host's udev and LVM"],
  ['read-error', 'a block cannot be read: the guest is told so, good blocks stay readable'],
  ['write-error', 'a block cannot be written: the same'],
  ['random', 'one process killed or stopped at a random moment, four times: no error'],
]);
