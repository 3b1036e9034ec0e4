/* racecalls.c: the compiler's calls in front of each access, and in place of atomic ones (BUILD=race).
 *
 * Their names are those of gcc's -fsanitize=thread, and of --param tsan-distinguish-volatile for volatile accesses.
 * This file, race.c and racereport.c are built without them. */
#include "race.h"

/* An address on the own stack, near the frame, is no other CPU's: it is compared, but not watched. */
#define OWN_STACK_BYTES 0x1000

#define ACCESS(Address_, Bytes_, Flags_)                                                                     \
    do {                                                                                                     \
        if (KdpRaceIsOn) {                                                                                   \
            BOOLEAN IsDue_ = !((Flags_) & RACE_MARKED) &&                                                    \
                             (ULONG64)(Address_) - (ULONG64)__builtin_frame_address(0) >= OWN_STACK_BYTES && \
                             KdpIsRaceWatchDue((ULONG64)__builtin_return_address(0));                        \
            if (IsDue_ || KdpRaceWatches != 0) {                                                             \
                KD_FRAME First_ = KD_CALLING_FRAME();                                                        \
                KdpRaceAccess((ULONG64)(Address_), (Bytes_), (Flags_), IsDue_, &First_);                     \
            }                                                                                                \
        }                                                                                                    \
    } while (0)

/* ---- Accesses of a fixed size ---- */
#define CALL(Name_, Bytes_, Flags_)            \
    VOID Name_(const volatile VOID *Address);  \
    VOID Name_(const volatile VOID *Address) { \
        ACCESS(Address, (Bytes_), (Flags_));   \
    }
#define CALLS(Bytes_)                                       \
    CALL(__tsan_read##Bytes_, Bytes_, 0)                    \
    CALL(__tsan_write##Bytes_, Bytes_, RACE_WRITE)          \
    CALL(__tsan_volatile_read##Bytes_, Bytes_, RACE_MARKED) \
    CALL(__tsan_volatile_write##Bytes_, Bytes_, RACE_WRITE | RACE_MARKED)
#define UNALIGNED_CALLS(Bytes_)                                       \
    CALL(__tsan_unaligned_read##Bytes_, Bytes_, 0)                    \
    CALL(__tsan_unaligned_write##Bytes_, Bytes_, RACE_WRITE)          \
    CALL(__tsan_unaligned_volatile_read##Bytes_, Bytes_, RACE_MARKED) \
    CALL(__tsan_unaligned_volatile_write##Bytes_, Bytes_, RACE_WRITE | RACE_MARKED)
CALLS(1)
CALLS(2)
CALLS(4)
CALLS(8)
CALLS(16)
UNALIGNED_CALLS(2)
UNALIGNED_CALLS(4)
UNALIGNED_CALLS(8)
UNALIGNED_CALLS(16)

/* A C++ object's pointer to its table of virtual functions. */
VOID __tsan_vptr_update(PVOID *Place, PVOID Value);
VOID __tsan_vptr_update(PVOID *Place, PVOID Value) {
    UNREFERENCED_PARAMETER(Value);
    ACCESS(Place, sizeof(*Place), RACE_WRITE);
}
CALL(__tsan_vptr_read, 8, 0)

/* ---- Whole structures ---- */
VOID __tsan_read_range(const VOID *Address, SIZE_T Bytes);
VOID __tsan_read_range(const VOID *Address, SIZE_T Bytes) {
    ACCESS(Address, Bytes, 0);
}

VOID __tsan_write_range(const VOID *Address, SIZE_T Bytes);
VOID __tsan_write_range(const VOID *Address, SIZE_T Bytes) {
    ACCESS(Address, Bytes, RACE_WRITE);
}

/* ---- Atomic operations: always in the strongest order, which x64 gives to all locked instructions ---- */
#define FETCH(Bits_, Type_, Name_)                                                               \
    Type_ __tsan_atomic##Bits_##_fetch_##Name_(volatile Type_ *Target, Type_ Value, int Order);  \
    Type_ __tsan_atomic##Bits_##_fetch_##Name_(volatile Type_ *Target, Type_ Value, int Order) { \
        UNREFERENCED_PARAMETER(Order);                                                           \
        ACCESS(Target, sizeof(Type_), RACE_WRITE | RACE_MARKED);                                 \
        return __atomic_fetch_##Name_(Target, Value, __ATOMIC_SEQ_CST);                          \
    }
#define EXCHANGE_IF(Bits_, Type_, Strength_)                                                                      \
    int __tsan_atomic##Bits_##_compare_exchange_##Strength_(volatile Type_ *Target, Type_ *Expected, Type_ Value, \
                                                            int Order, int FailureOrder);                         \
    int __tsan_atomic##Bits_##_compare_exchange_##Strength_(volatile Type_ *Target, Type_ *Expected, Type_ Value, \
                                                            int Order, int FailureOrder) {                        \
        UNREFERENCED_PARAMETER(Order);                                                                            \
        UNREFERENCED_PARAMETER(FailureOrder);                                                                     \
        ACCESS(Target, sizeof(Type_), RACE_WRITE | RACE_MARKED);                                                  \
        return __atomic_compare_exchange_n(Target, Expected, Value, FALSE, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);   \
    }
#define ATOMICS(Bits_, Type_)                                                               \
    Type_ __tsan_atomic##Bits_##_load(const volatile Type_ *Target, int Order);             \
    Type_ __tsan_atomic##Bits_##_load(const volatile Type_ *Target, int Order) {            \
        UNREFERENCED_PARAMETER(Order);                                                      \
        ACCESS(Target, sizeof(Type_), RACE_MARKED);                                         \
        return __atomic_load_n(Target, __ATOMIC_SEQ_CST);                                   \
    }                                                                                       \
    VOID __tsan_atomic##Bits_##_store(volatile Type_ *Target, Type_ Value, int Order);      \
    VOID __tsan_atomic##Bits_##_store(volatile Type_ *Target, Type_ Value, int Order) {     \
        ACCESS(Target, sizeof(Type_), RACE_WRITE | RACE_MARKED);                            \
        if (Order == __ATOMIC_SEQ_CST) {                                                    \
            __atomic_store_n(Target, Value, __ATOMIC_SEQ_CST);                              \
        } else {                                                                            \
            __atomic_store_n(Target, Value, __ATOMIC_RELEASE);                              \
        }                                                                                   \
    }                                                                                       \
    Type_ __tsan_atomic##Bits_##_exchange(volatile Type_ *Target, Type_ Value, int Order);  \
    Type_ __tsan_atomic##Bits_##_exchange(volatile Type_ *Target, Type_ Value, int Order) { \
        UNREFERENCED_PARAMETER(Order);                                                      \
        ACCESS(Target, sizeof(Type_), RACE_WRITE | RACE_MARKED);                            \
        return __atomic_exchange_n(Target, Value, __ATOMIC_SEQ_CST);                        \
    }                                                                                       \
    FETCH(Bits_, Type_, add)                                                                \
    FETCH(Bits_, Type_, sub)                                                                \
    FETCH(Bits_, Type_, and)                                                                \
    FETCH(Bits_, Type_, or)                                                                 \
    FETCH(Bits_, Type_, xor)                                                                \
    FETCH(Bits_, Type_, nand)                                                               \
    EXCHANGE_IF(Bits_, Type_, strong)                                                       \
    EXCHANGE_IF(Bits_, Type_, weak)
ATOMICS(8, UCHAR)
ATOMICS(16, USHORT)
ATOMICS(32, ULONG)
ATOMICS(64, ULONG64)

VOID __tsan_atomic_thread_fence(int Order);
VOID __tsan_atomic_thread_fence(int Order) {
    UNREFERENCED_PARAMETER(Order);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

VOID __tsan_atomic_signal_fence(int Order);
VOID __tsan_atomic_signal_fence(int Order) {
    UNREFERENCED_PARAMETER(Order);
    _ReadWriteBarrier();
}

/* From a constructor in each object, which nothing calls here. */
VOID __tsan_init(VOID);
VOID __tsan_init(VOID) {
}
