/*
 * Sentences of failures. Every thread keeps the one of its last failed call.
 * Calls that were made off the main thread (ffi-napi's .async) fail on a
 * thread that the caller cannot ask again, so the last few failures of the
 * whole process are kept as well, with their codes.
 */
#include "common.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RECENT 16

struct failure {
    int code;
    char text[TSR_TEXT_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct failure recent[RECENT];
static unsigned recent_next;

static __thread struct failure mine;
static __thread bool mine_unread;

static int note(int code, const char *text)
{
    mine.code = code;
    snprintf(mine.text, sizeof(mine.text), "%s", text);
    mine_unread = true;

    pthread_mutex_lock(&lock);
    recent[recent_next++ % RECENT] = mine;
    pthread_mutex_unlock(&lock);
    return code;
}

int tsr_fail(int code, const char *format, ...)
{
    char text[TSR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return note(code, text);
}

int tsr_object_fail(void *object_in, int code, const char *format, ...)
{
    struct tsr_object *object = object_in;
    char text[TSR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    pthread_mutex_lock(&object->text_lock);
    snprintf(object->text, sizeof(object->text), "%s", text);
    pthread_mutex_unlock(&object->text_lock);
    return note(code, text);
}

/* The newest failure of the process, of CODE if that is not 0. */
static void copy_recent(int code, char *out, size_t size)
{
    unsigned i;

    out[0] = 0;
    pthread_mutex_lock(&lock);
    for (i = 1; i <= RECENT && i <= recent_next; i++) {
        const struct failure *f = &recent[(recent_next - i) % RECENT];

        if (code && f->code != code)
            continue;
        snprintf(out, size, "%s", f->text);
        break;
    }
    pthread_mutex_unlock(&lock);
}

/*
 * tsr_error_text: the sentence of a failure. HANDLE >= 0: of that object. -1:
 * the calling thread's own last failure if it was not asked for yet, else the
 * newest of the process. Below -1 (a code that a function returned): the newest
 * failure of the process with that code, for calls made off the main thread.
 */
int tsr_error_text(int handle, char *out, size_t size)
{
    struct tsr_object *object;

    if (!out || !size)
        return -EINVAL;
    out[0] = 0;

    if (handle >= 0) {
        object = tsr_handle_peek(handle);
        if (!object)
            return -EBADF;
        pthread_mutex_lock(&object->text_lock);
        snprintf(out, size, "%s", object->text);
        pthread_mutex_unlock(&object->text_lock);
        tsr_handle_put(object);
    } else if (handle == -1 && mine_unread) {
        snprintf(out, size, "%s", mine.text);
        mine_unread = false;
    } else {
        copy_recent(handle == -1 ? 0 : handle, out, size);
    }
    return (int)strlen(out);
}
