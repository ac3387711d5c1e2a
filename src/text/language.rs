//! [`Text`] to the language it is surely in.
//!
//! Deliberately says nothing when unsure: a document is sent to review for its language only where
//! there is hardly a doubt. Reads a sample, so that a long text costs no more than a short one.

use whatlang::{Detector, Lang, Script, detect_script};

use crate::types::Text;

/// Letters that the sample holds at most.
const SAMPLE_LETTERS_MAX: usize = 4_000;

/// Letters below which nothing is said of a text in the Latin script, which 37 languages share.
const LATIN_LETTERS_MIN: usize = 240;

/// Letters below which nothing is said of any other text.
const OTHER_LETTERS_MIN: usize = 40;

/// Words that hold English sentences together, and hardly any other language's.
const ENGLISH_WORDS: [&str; 12] =
    ["the", "and", "of", "to", "with", "shall", "this", "that", "which", "by", "any", "such"];

/// Share of such words, one in so many, at which a text is English whatever else it holds.
const ENGLISH_ONE_IN: usize = 12;

/// The language of `text` (ISO 639-1), where it is reliable.
pub fn language(text: &Text) -> Option<&'static str> {
    let sample = Sample::of(text.as_str());
    let script = detect_script(&sample.words)?;
    let letters_min = if script == Script::Latin { LATIN_LETTERS_MIN } else { OTHER_LETTERS_MIN };
    if sample.letters < letters_min {
        return None;
    }
    if sample.english * ENGLISH_ONE_IN >= sample.count {
        return Some("en");
    }
    // Last: it takes longer than all else that is done with a short line, but for the model.
    let found = Detector::new().detect(&sample.words)?;
    if found.is_reliable() { code(found.lang()) } else { None }
}

/// The first words of a text that tell its language.
#[derive(Default)]
struct Sample {
    words: String,
    count: usize,
    letters: usize,
    /// Words that are English and little else.
    english: usize,
}

impl Sample {
    /// Leaves out capitalised words, unless the text is set in capitals: contracts are full of
    /// names, and names are of any language.
    fn of(text: &str) -> Self {
        let start = text.chars().take(2 * SAMPLE_LETTERS_MAX);
        let (upper, lower) = start.fold((0_usize, 0_usize), |(upper, lower), letter| {
            (upper + usize::from(letter.is_uppercase()), lower + usize::from(letter.is_lowercase()))
        });
        let is_in_capitals = upper > lower;
        let mut sample = Self::default();
        for word in
            text.split(|letter: char| !letter.is_alphabetic()).filter(|word| !word.is_empty())
        {
            if sample.letters >= SAMPLE_LETTERS_MAX {
                break;
            }
            if is_in_capitals || !word.starts_with(char::is_uppercase) {
                sample.add(&word.to_lowercase());
            }
        }
        sample
    }

    fn add(&mut self, word: &str) {
        self.words.push_str(word);
        self.words.push(' ');
        self.count += 1;
        self.letters += word.chars().count();
        self.english += usize::from(ENGLISH_WORDS.contains(&word));
    }
}

/// The two-letter code (ISO 639-1) of a language of `whatlang`, which has three letters (ISO
/// 639-3); every language that it knows has one.
fn code(language: Lang) -> Option<&'static str> {
    let three = language.code();
    CODES.split(' ').find_map(|pair| pair.strip_suffix(three)?.strip_suffix('='))
}

/// `ISO 639-1=ISO 639-3`.
const CODES: &str = "af=afr ak=aka am=amh ar=ara az=aze be=bel bg=bul bn=ben ca=cat cs=ces cy=cym \
                     da=dan de=deu el=ell en=eng eo=epo es=spa et=est fa=pes fi=fin fr=fra gu=guj \
                     he=heb hi=hin hr=hrv hu=hun hy=hye id=ind it=ita ja=jpn jv=jav ka=kat km=khm \
                     kn=kan ko=kor la=lat lt=lit lv=lav mk=mkd ml=mal mr=mar my=mya nb=nob ne=nep \
                     nl=nld or=ori pa=pan pl=pol pt=por ro=ron ru=rus si=sin sk=slk sl=slv sn=sna \
                     sr=srp sv=swe ta=tam te=tel th=tha tk=tuk tl=tgl tr=tur uk=ukr ur=urd uz=uzb \
                     vi=vie yi=yid zh=cmn zu=zul";

#[cfg(test)]
mod tests {
    use whatlang::Lang;

    use super::{CODES, code, language};
    use crate::types::Text;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(language(&Text::from_pages([text.to_owned()])), expected, "{text}");
    }

    #[test]
    fn every_language_has_a_code_of_two_letters() {
        for known in Lang::all() {
            assert!(code(*known).is_some_and(|code| code.len() == 2), "{known}");
        }
        assert_eq!(CODES.split(' ').count(), Lang::all().len());
        assert_eq!(
            [code(Lang::Eng), code(Lang::Deu), code(Lang::Cmn)].map(Option::unwrap),
            ["en", "de", "zh"]
        );
    }

    #[test]
    fn prose_is_told() {
        let german = "Dieser Vertrag wird zwischen den unten genannten Parteien geschlossen. Der \
             Auftragnehmer verpflichtet sich, die vereinbarten Leistungen sorgfältig und nach dem \
             Stand der Technik zu erbringen, und haftet nur für grobe Fahrlässigkeit. Er kann von \
             jeder Partei mit einer Frist von drei Monaten zum Ende eines Kalenderjahres schriftlich \
             gekündigt werden. Mündliche Nebenabreden bestehen nicht, und sollte eine Bestimmung \
             unwirksam sein, so bleiben die übrigen davon unberührt.";
        let french = "Le présent contrat est conclu entre les parties désignées ci-dessous. Le \
             prestataire s'engage à fournir les services convenus avec soin et selon les règles de \
             l'art. Chacune des parties peut mettre fin au contrat moyennant un préavis écrit de \
             trois mois avant la fin de l'année civile. Aucune convention verbale n'a été conclue.";
        let spanish = "El presente contrato se celebra entre las partes indicadas a continuación. El \
             proveedor se compromete a prestar los servicios acordados con la debida diligencia. \
             Cualquiera de las partes podrá resolver el contrato por escrito con un preaviso de tres \
             meses antes del final de cada año natural. No existen acuerdos verbales entre ellas.";
        let russian = "Настоящий договор заключён между сторонами, указанными ниже.";
        let japanese = "本契約は、下記の当事者間において締結されるものとし、署名の日から効力を生じるもの\
             とします。当事者は誠実に協議するものとする。";
        let english = "This agreement is made by and between the parties named below. ".repeat(8);
        let table = [
            ("de", german),
            ("fr", french),
            ("es", spanish),
            ("ru", russian),
            ("ja", japanese),
            ("en", &english),
        ];
        for (expected, prose) in table {
            check(prose, Some(expected));
        }
    }

    #[test]
    fn an_english_contract_stays_english_whatever_its_names_and_capitals() {
        let names = "SOCIÉTÉ GÉNÉRALE DE SURVEILLANCE S.A., Crédit Agricole Corporate Bank, Compañía \
             Española de Petróleos, Bayerische Motoren Werke Aktiengesellschaft, ";
        let clause = "shall notify the other party of any breach of this agreement, and the other \
             party shall remedy such breach within thirty days of the notice. ";
        check(&[names, names, clause, names, clause, clause].concat(), Some("en"));
        check(&[names, clause, clause, clause].concat().to_uppercase(), Some("en"));
    }

    #[test]
    fn nothing_is_said_of_names_and_short_texts() {
        check("", None);
        check("Contrat de licence", None);
        check(
            &"Jean Dupont, Pierre Leclerc, Crédit Lyonnais, Lac La Ronge 12345 ".repeat(40),
            None,
        );
    }
}
