/*
 * libzstd, opened when it is first asked for. libxenlight itself needs it, so it is
 * in every dom0; where it is not, JavaScript's zstd-codec makes the same frames.
 * Called from here and not from JavaScript, so that a batch costs one foreign call.
 */
#include "internal.h"

#include <dlfcn.h>

static struct {
    void *(*create_cctx)(void);
    size_t (*free_cctx)(void *);
    size_t (*compress)(void *, void *, size_t, const void *, size_t, int);
    void *(*create_dctx)(void);
    size_t (*free_dctx)(void *);
    size_t (*decompress)(void *, void *, size_t, const void *, size_t);
    unsigned (*is_error)(size_t);
    bool there;
} lib;

static bool find(void *library, const char *name, void *function_out)
{
    void *symbol = dlsym(library, name);

    *(void **)function_out = symbol;
    return symbol != NULL;
}

static void open_library(void)
{
    /* Of version 1, whose functions and format are stable since 2016. */
    void *library = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);

    lib.there = library &&
                find(library, "ZSTD_createCCtx", &lib.create_cctx) &&
                find(library, "ZSTD_freeCCtx", &lib.free_cctx) &&
                find(library, "ZSTD_compressCCtx", &lib.compress) &&
                find(library, "ZSTD_createDCtx", &lib.create_dctx) &&
                find(library, "ZSTD_freeDCtx", &lib.free_dctx) &&
                find(library, "ZSTD_decompressDCtx", &lib.decompress) &&
                find(library, "ZSTD_isError", &lib.is_error);
}

bool tsr_zstd_available(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, open_library);
    return lib.there;
}

size_t tsr_zstd_compress(struct tsr_zstd *zstd, uint8_t *out, size_t capacity,
                         const uint8_t *in, size_t size, int level)
{
    size_t n;

    if (!zstd->compressor)
        zstd->compressor = lib.create_cctx();
    if (!zstd->compressor)
        return 0;
    n = lib.compress(zstd->compressor, out, capacity, in, size, level);
    return lib.is_error(n) ? 0 : n;
}

bool tsr_zstd_decompress(struct tsr_zstd *zstd, uint8_t *out, size_t size,
                         const uint8_t *in, size_t in_size)
{
    if (!zstd->decompressor)
        zstd->decompressor = lib.create_dctx();
    if (!zstd->decompressor)
        return false;
    return lib.decompress(zstd->decompressor, out, size, in, in_size) == size;
}

void tsr_zstd_dispose(struct tsr_zstd *zstd)
{
    if (zstd->compressor)
        lib.free_cctx(zstd->compressor);
    if (zstd->decompressor)
        lib.free_dctx(zstd->decompressor);
    *zstd = (struct tsr_zstd){ 0 };
}
