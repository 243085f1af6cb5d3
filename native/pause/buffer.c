/* What waits to be written; see pause.h. */
#include "pause.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_BYTES (16u << 20)
#define STEP_BYTES (4u << 20)

/* In memory from the start: a pause is no time for page faults. */
static uint8_t *memory(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

bool buffer_open(struct buffer *buffer, int fd, size_t limit)
{
    *buffer = (struct buffer){ .fd = fd, .limit = limit };
    buffer->size = limit < FIRST_BYTES ? limit : FIRST_BYTES;
    buffer->data = memory(buffer->size);
    return buffer->data != NULL;
}

void buffer_close(struct buffer *buffer)
{
    if (buffer->data)
        munmap(buffer->data, buffer->size);
    buffer->data = NULL;
}

/* Not libc's write(2), which pause.c stands in front of. */
bool write_all(int fd, const void *data, size_t size)
{
    const uint8_t *at = data;

    while (size) {
        long n = syscall(SYS_write, fd, at, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

bool buffer_flush(struct buffer *buffer)
{
    size_t used = buffer->used;

    buffer->used = 0;
    return write_all(buffer->fd, buffer->data, used);
}

void buffer_drop(struct buffer *buffer)
{
    buffer->used = 0;
    buffer->wanted = 0;
}

bool buffer_begin(struct buffer *buffer, size_t size)
{
    buffer->through = size > buffer->size;
    return size <= buffer->size - buffer->used || buffer_flush(buffer);
}

bool buffer_end(struct buffer *buffer)
{
    return !buffer->through || buffer_flush(buffer);
}

bool buffer_put(struct buffer *buffer, const void *data, size_t size)
{
    if (!size)
        return true;
    buffer->wanted += size;
    if (size > buffer->size - buffer->used && !buffer_flush(buffer))
        return false;
    if (size > buffer->size)
        return write_all(buffer->fd, data, size);
    memcpy(buffer->data + buffer->used, data, size);
    buffer->used += size;
    return true;
}

void buffer_grow(struct buffer *buffer)
{
    size_t size = (2 * buffer->wanted + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
    uint8_t *data;

    buffer->wanted = 0;
    if (size > buffer->limit)
        size = buffer->limit;
    if (size <= buffer->size)
        return;
    data = memory(size);
    if (!data)
        return;
    munmap(buffer->data, buffer->size);
    buffer->data = data;
    buffer->size = size;
}

bool buffer_put_record(struct buffer *buffer, uint32_t type, const void *body, uint32_t length)
{
    static const uint8_t zeroes[8];
    struct record head = { type, length };

    return buffer_begin(buffer, sizeof(head) + length + (-length & 7)) &&
           buffer_put(buffer, &head, sizeof(head)) && buffer_put(buffer, body, length) &&
           buffer_put(buffer, zeroes, -length & 7) && buffer_end(buffer);
}
