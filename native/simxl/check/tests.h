#ifndef TESTS_H
#define TESTS_H

struct test {
    const char *name;
    void (*run)(void);
};
/* stream.c */
extern const struct test stream_tests[];

/* life.c */
extern const struct test life_tests[];
/* faults.c */
extern const struct test fault_tests[];

#endif
