/* cplusplus.cc: the bug of secret.c in C++: the guard object's constructor hides the raise of IRQL. */
#include "secret.h"

extern "C" {
PSECRET Secret;
}

namespace {

class SpinLock {
  public:
    void Initialize() {
        KeInitializeSpinLock(&Lock);
    }

    void Acquire(KIRQL *OldIrql) {
        KeAcquireSpinLock(&Lock, OldIrql);
    }

    void Release(KIRQL OldIrql) {
        KeReleaseSpinLock(&Lock, OldIrql);
    }

  private:
    KSPIN_LOCK Lock;
};

class Guard {
  public:
    explicit Guard(SpinLock &Guarded) : Lock(Guarded) {
        Lock.Acquire(&OldIrql);
    }

    ~Guard() {
        Lock.Release(OldIrql);
    }

  private:
    SpinLock &Lock;
    KIRQL OldIrql;
};

SpinLock SecretLock;

} // namespace

extern "C" NTSTATUS SecretCreate() {
    SecretLock.Initialize();
    Secret = static_cast<PSECRET>(ExAllocatePoolWithTag(PagedPool, sizeof(SECRET), SECRET_TAG));
    if (Secret == nullptr) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *Secret = SECRET{};
    return STATUS_SUCCESS;
}

extern "C" VOID SecretStore(ULONG64 Number) {
    Guard Held(SecretLock);
    Secret->Number = Number;
    Secret->Writes++;
}

extern "C" VOID SecretLocate(PSECRET_REPORT Report) {
    Report->Address = Secret;
    Report->Bytes = sizeof(SECRET);
}
