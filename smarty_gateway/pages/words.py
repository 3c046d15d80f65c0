"""The words of pictures in each language."""

from smarty_gateway.charts.words import Words
from smarty_gateway.languages.language import Language


def words_of(language: Language) -> Words:
    """Return the words of a picture."""
    _ = language.gettext
    return Words(
        import_=_("import"),
        excess=_("excess"),
        export=_("export"),
        over=_("over"),
        unknown=_("unknown"),
        simulated=_("simulated"),
        weekdays=language.weekdays(),
        months=language.months(),
    )
