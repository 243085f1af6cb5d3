#!/bin/sh
':' //; [ "$1" = status ] && exec node "$0" "$@"; exec node --max-old-space-size=65536 --single-threaded-gc "$0" "$@"
// The line above is the shell's, and a comment to node: the program starts itself by node's options
// but for `status`, which would pay for them and has no use for them.
//
// ffi-napi tells V8 of a gigabyte for each pointer it wraps. Under the usual ceiling V8 answers
// most of them with a full collection, which is half of what loading costs (docs/BENCHMARKS.md).
// The heap itself stays at some megabytes, for which one collecting thread is enough. The first
// option makes V8 compile anew what it has of Node's own modules, a fifth of what an empty node takes.

// One file, and no ES module: what node takes to load forty of them is as much as it takes itself.
if (process.argv[2] === 'status') require('./status.cjs');
else import('./tsremus.mjs');
