/*
 * Handles: small integers for the caller, references for us. A handle is never
 * given out again before some millions of others were, so that a stale one
 * fails instead of reaching somebody else's session.
 */
#include "common.h"

#include <string.h>

#define SLOTS 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    struct tsr_object *object;
    unsigned generation;
} slots[SLOTS];
static unsigned next_slot;

void tsr_object_init(struct tsr_object *object, const struct tsr_kind *kind)
{
    object->kind = kind;
    object->refs = 1;
    object->text[0] = 0;
    pthread_mutex_init(&object->text_lock, NULL);
}

static int handle_of(unsigned slot)
{
    return (int)((slots[slot].generation << 8 | slot) & 0x7fffffff);
}

int tsr_handle_new(struct tsr_object *object)
{
    unsigned i, slot = 0;
    int rc = -EMFILE;

    pthread_mutex_lock(&lock);
    for (i = 0; i < SLOTS; i++) {
        slot = next_slot++ % SLOTS;
        if (slots[slot].object)
            continue;
        slots[slot].object = object;
        slots[slot].generation++;
        rc = handle_of(slot);
        break;
    }
    pthread_mutex_unlock(&lock);
    if (rc < 0)
        return tsr_fail(rc, "more than %d sessions in one process", SLOTS);
    return rc;
}

struct tsr_object *tsr_handle_peek(int handle)
{
    struct tsr_object *object = NULL;
    unsigned slot;

    if (handle < 0)
        return NULL;
    slot = (unsigned)handle & (SLOTS - 1);
    pthread_mutex_lock(&lock);
    if (slots[slot].object && handle_of(slot) == handle) {
        object = slots[slot].object;
        object->refs++;
    }
    pthread_mutex_unlock(&lock);
    return object;
}

static void *checked(struct tsr_object *object, bool fits, int handle,
                     const char *wanted)
{
    if (fits)
        return object;
    if (object)
        tsr_handle_put(object);
    tsr_fail(-EBADF, "%d is not the handle of %s", handle, wanted);
    return NULL;
}

void *tsr_handle_get(int handle, const struct tsr_kind *kind)
{
    struct tsr_object *object = tsr_handle_peek(handle);

    return checked(object, object && object->kind == kind, handle, kind->name);
}

struct tsr_object *tsr_handle_barrier(int handle)
{
    struct tsr_object *object = tsr_handle_peek(handle);

    return checked(object, object && object->kind->barrier, handle,
                   "something with a barrier");
}

struct tsr_object *tsr_handle_format(int handle)
{
    struct tsr_object *object = tsr_handle_peek(handle);

    return checked(object, object && object->kind->format, handle,
                   "something with a format");
}

void tsr_handle_put(void *object_in)
{
    struct tsr_object *object = object_in;
    int refs;

    pthread_mutex_lock(&lock);
    refs = --object->refs;
    pthread_mutex_unlock(&lock);
    if (refs)
        return;
    pthread_mutex_destroy(&object->text_lock);
    object->kind->destroy(object);
}

bool tsr_handle_remove(int handle)
{
    unsigned slot = (unsigned)handle & (SLOTS - 1);
    struct tsr_object *object = NULL;

    pthread_mutex_lock(&lock);
    if (slots[slot].object && handle_of(slot) == handle) {
        object = slots[slot].object;
        slots[slot].object = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (!object)
        return false;
    tsr_handle_put(object);
    return true;
}
