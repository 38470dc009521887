"""Callbacks of scikit-learn 1.9; with an older one they do nothing."""

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class _NoContext:
        """A callback context without any callbacks."""

        def subcontext(self, **kwargs):
            return self

        def call_on_fit_task_begin(self, **kwargs):
            return self

        def call_on_fit_task_end(self, **kwargs):
            return False

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replacement for a scikit-learn without callbacks."""

        def _init_callback_context(self, **kwargs):
            return _NoContext()

    def with_callbacks(method):
        """Return `method` as it is."""
        return method


__all__ = ["CallbackSupportMixin", "with_callbacks"]
