#ifndef TESTS_H
#define TESTS_H

struct test {
    const char *name;
    void (*run)(void);
};
extern const struct test tests[];

#endif
