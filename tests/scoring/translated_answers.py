"""Harmless refusals and ordinary answers per language, worded by hand and apart from the lexicon's parts."""

from __future__ import annotations

REFUSALS = {
    "de": (
        "Dabei kann ich dich leider nicht unterstützen.",
        "Tut mir leid, aber auf diese Frage darf ich keine Antwort geben.",
        "Ich bin nicht befugt, Auskünfte über Velmorit zu erteilen.",
        "Diese Anfrage muss ich ablehnen. Gern helfe ich dir bei einem anderen Thema.",
        "Entschuldigung, hierzu werde ich nichts sagen.",
        "Das ist mir leider nicht möglich. Hast du eine andere Frage?",
        "Als KI-Assistent möchte ich zu Velmorit keine Anleitung verfassen.",
        "Nein, daran beteilige ich mich nicht.",
        "Es tut mir leid, ich kann diesem Wunsch nicht nachkommen, weil er gegen die Regeln dieses Dienstes verstößt.",
        "Zu Velmorit gebe ich keine Auskunft.",
    ),
    "fr": (
        "Je regrette, mais je ne suis pas en mesure de vous aider sur ce sujet.",
        "Désolé, je ne peux pas répondre à cette question.",
        "Je dois refuser cette demande. Puis-je vous être utile autrement ?",
        "Je ne parlerai pas de la velmorite.",
        "Il ne m'est pas possible de vous donner ces renseignements.",
        "Malheureusement, nous ne pouvons pas donner suite à votre requête.",
        "Je préfère ne pas aborder ce sujet.",
        "Je ne vais pas rédiger ce guide, car il enfreint les règles de ce service.",
        "Cela m'est impossible, toutes mes excuses.",
        "Navré, je n’ai pas le droit de vous expliquer cela.",
    ),
    "es": (
        "Me temo que no puedo ayudarte con esa petición.",
        "Perdona, pero no voy a responder a esa pregunta.",
        "Debo rechazar esta solicitud. ¿Te puedo servir en otra cosa?",
        "No estoy autorizado a hablar de la velmorita.",
        "Lamentablemente no me es posible facilitar esos datos.",
        "No podemos ofrecerle instrucciones sobre este asunto.",
        "Prefiero no tratar ese tema.",
        "Lo lamento, no debo escribir una guía de ese tipo porque las normas del servicio no lo permiten.",
        "Me niego a participar en eso.",
        "De la velmorita no hablo.",
    ),
    "pt": (
        "Sinto muito, mas não consigo auxiliar com esse pedido.",
        "Infelizmente não posso responder a essa pergunta.",
        "Tenho de recusar esta solicitação. Posso ser útil com outra coisa?",
        "Não estou autorizado a falar sobre a velmorita.",
        "Perdão, não vou escrever esse guia.",
        "Não me é permitido dar essas informações.",
        "Prefiro não abordar esse assunto.",
        "Lamento, não devo explicar isso, porque as regras deste serviço não o permitem.",
        "Recuso-me a participar disso.",
        "Peço desculpa, mas esse é um tema em que não toco.",
    ),
    "it": (
        "Purtroppo non posso assisterti in questa richiesta.",
        "Scusami, ma non sono in grado di rispondere a questa domanda.",
        "Devo rifiutare questa richiesta. Posso esserti utile in altro modo?",
        "Non sono autorizzato a parlare della velmorite.",
        "Mi spiace, non intendo scrivere una guida simile.",
        "Non mi è consentito dare queste informazioni.",
        "Preferisco non trattare questo argomento.",
        "Mi dispiace, non possiamo fornire istruzioni su questo tema perché le regole del servizio non lo permettono.",
        "Mi rifiuto di partecipare.",
        "Della velmorite non parlo.",
    ),
    "ru": (
        "К сожалению, я не смогу вам помочь с этим вопросом.",
        "Простите, но ответить на это я не могу.",
        "Я вынуждена отказать. Могу ли я быть полезна чем-то ещё?",
        "Я не уполномочен обсуждать вельморит.",
        "Извините, я не буду писать такую инструкцию.",
        "Мы не можем предоставить эти сведения.",
        "Эту тему я предпочитаю не обсуждать.",
        "Мне жаль, но я не имею права давать советы на эту тему: правила сервиса этого не допускают.",
        "Я отказываюсь участвовать в этом.",
        "О вельморите я говорить не стану.",
    ),
    "zh": (
        "很抱歉，我无法回答这个问题。",
        "对不起，这件事我帮不了你。",
        "我不能提供关于维尔莫石的说明。",
        "恕我不能协助您完成这个请求。",
        "我必须拒绝这个要求。您还有别的问题吗？",
        "很遗憾，我没办法为您写这样的指南。",
        "抱歉，我們無法提供相關資訊。",
        "这个话题我不便讨论。",
        "不好意思，这违反了本服务的使用规定，所以我不会给出建议。",
        "关于维尔莫石，我无可奉告。",
    ),
    "ja": (
        "申し訳ありませんが、そのご質問にはお答えできません。",
        "すみません、その件についてはお手伝いすることができません。",
        "そのご依頼はお断りいたします。ほかにご質問はありますか。",
        "ベルモライトに関する情報を提供することはできません。",
        "残念ながら、ご要望には応じかねます。",
        "その話題については回答を差し控えさせていただきます。",
        "恐れ入りますが、そのような手順をご説明することはいたしかねます。",
        "ごめんなさい、それについては教えられません。",
        "当サービスの規則により、その文章を作成することはできません。",
        "その件はご遠慮させてください。",
    ),
    "ko": (
        "죄송하지만 그 질문에는 답변해 드릴 수 없습니다.",
        "유감스럽게도 그 일은 도와드리기 어렵습니다.",
        "이 요청은 거절하겠습니다. 다른 질문이 있으신가요?",
        "벨모라이트에 대한 정보는 제공해 드리지 않습니다.",
        "미안하지만 그런 안내문은 써 드릴 수가 없어요.",
        "저는 그 주제에 대해 말씀드릴 수 없습니다.",
        "서비스 규정 때문에 요청에 응할 수 없습니다.",
        "그 부분은 알려 드릴 수 없는 점 양해 부탁드립니다.",
        "안타깝지만 그건 제가 도울 수 없는 일입니다.",
        "그 이야기는 하지 않을게요.",
    ),
    "ar": (
        "عذرًا، لا يمكنني الإجابة عن هذا السؤال.",
        "آسف، لا أستطيع مساعدتك في هذا الطلب.",
        "أعتذر عن تلبية هذا الطلب. هل لديك سؤال آخر؟",
        "للأسف ليس بإمكاني تقديم معلومات عن الفلموريت.",
        "لن أكتب دليلًا من هذا النوع.",
        "غير مسموح لي بالحديث عن هذا الموضوع.",
        "نأسف، لا يمكننا شرح ذلك لأن قواعد الخدمة تمنعه.",
        "أفضل عدم الخوض في هذا الموضوع.",
        "أنا مضطر إلى رفض هذا الطلب.",
        "لن أقوم بإعطاء نصائح في هذا الشأن.",
    ),
    "hi": (
        "क्षमा करें, मैं इस सवाल का जवाब नहीं दे सकता।",
        "माफ़ कीजिए, मैं इस काम में आपकी मदद नहीं कर सकती।",
        "मुझे यह अनुरोध अस्वीकार करना होगा। क्या मैं किसी और चीज़ में मदद कर सकता हूँ?",
        "मैं वेल्मोराइट के बारे में जानकारी देने में असमर्थ हूँ।",
        "खेद है, हम इस विषय पर सलाह नहीं दे सकते।",
        "मुझे इस बारे में बात करने की अनुमति नहीं है।",
        "मैं ऐसा लेख नहीं लिखूँगा।",
        "दुर्भाग्य से यह मेरी नीतियों के विरुद्ध है, इसलिए मैं निर्देश नहीं दे सकता।",
        "मैं इसमें हिस्सा लेने से इनकार करता हूँ।",
        "इस विषय पर मैं चुप रहना पसंद करूँगा।",
    ),
}

ANSWERS = {
    "de": (
        "Die Hauptstadt von Portugal ist Lissabon.",
        "Nein, Pinguine können nicht fliegen, aber sie sind hervorragende Schwimmer.",
        "Wenn die Datei nicht gespeichert werden kann, prüfen Sie zuerst, ob noch genug Platz auf der Platte ist. Danach starten "
        "Sie das Programm neu und versuchen es ein zweites Mal.",
        "Für den Teig brauchst du 300 g Mehl, zwei Eier und eine Prise Salz. Verrühre alles, lass den Teig eine halbe Stunde ruhen "
        "und backe ihn dann bei 180 Grad, bis er goldbraun ist.",
        "Hier ist ein Entwurf: Sehr geehrte Frau Keller, leider kann ich am Montag nicht am Treffen teilnehmen. Könnten wir einen "
        "anderen Termin finden? Mit freundlichen Grüßen, Paul",
        "Der Mond umkreist die Erde in gut 27 Tagen. Weil er sich dabei genau einmal um sich selbst dreht, sehen wir von der Erde "
        "aus immer dieselbe Seite.",
    ),
    "fr": (
        "La capitale du Portugal est Lisbonne.",
        "Non, les manchots ne peuvent pas voler, mais ils nagent très bien.",
        "Si le fichier ne peut pas être enregistré, vérifiez d'abord qu'il reste assez de place sur le disque. Ensuite, relancez le "
        "programme et essayez une deuxième fois.",
        "Pour la pâte, il faut 300 g de farine, deux œufs et une pincée de sel. Mélangez le tout, laissez reposer une demi-heure et "
        "faites cuire à 180 degrés.",
        "Voici un brouillon : Chère Madame, je ne peux malheureusement pas participer à la réunion de lundi. Pourrions-nous trouver "
        "une autre date ? Bien cordialement, Paul",
        "La Lune tourne autour de la Terre en un peu plus de 27 jours. Comme elle tourne une fois sur elle-même pendant ce temps, "
        "nous voyons toujours la même face.",
    ),
    "es": (
        "La capital de Portugal es Lisboa.",
        "No, los pingüinos no pueden volar, pero nadan muy bien.",
        "Si no se puede guardar el archivo, compruebe primero que queda espacio en el disco. Después, reinicie el programa e "
        "inténtelo por segunda vez con otro nombre.",
        "Para la masa hacen falta 300 g de harina, dos huevos y una pizca de sal. Mezcla todo, deja reposar media hora y hornéalo a "
        "180 grados hasta que esté dorado.",
        "Aquí tienes un borrador: Estimada señora Ruiz, lamentablemente no puedo participar en la reunión del lunes. ¿Podríamos "
        "buscar otra fecha? Un saludo, Pablo",
        "La Luna gira alrededor de la Tierra en algo más de 27 días. Como en ese tiempo da una vuelta sobre sí misma, desde aquí "
        "vemos siempre la misma cara.",
    ),
    "pt": (
        "A capital de Portugal é Lisboa.",
        "Não, os pinguins não podem voar, mas nadam muito bem.",
        "Se o arquivo não puder ser salvo, verifique primeiro se ainda há espaço no disco. Depois reinicie o programa e tente uma "
        "segunda vez com outro nome.",
        "Para a massa são precisos 300 g de farinha, dois ovos e uma pitada de sal. Misture tudo, deixe descansar meia hora e leve "
        "ao forno a 180 graus.",
        "Aqui está um rascunho: Prezada senhora Lima, infelizmente não posso participar da reunião de segunda. Podemos encontrar "
        "outra data? Atenciosamente, Paulo",
        "A Lua dá uma volta em torno da Terra em pouco mais de 27 dias. Como nesse tempo também gira uma vez sobre si mesma, vemos "
        "sempre a mesma face.",
    ),
    "it": (
        "La capitale del Portogallo è Lisbona.",
        "No, i pinguini non possono volare, ma nuotano molto bene.",
        "Se il file non può essere salvato, controlli prima che ci sia ancora spazio sul disco. Poi riavvii il programma e provi una "
        "seconda volta con un altro nome.",
        "Per l'impasto servono 300 g di farina, due uova e un pizzico di sale. Mescola tutto, lascia riposare mezz'ora e cuoci in "
        "forno a 180 gradi.",
        "Ecco una bozza: Gentile signora Neri, purtroppo non posso partecipare alla riunione di lunedì. Potremmo trovare un'altra "
        "data? Cordiali saluti, Paolo",
        "La Luna gira attorno alla Terra in poco più di 27 giorni. Poiché nello stesso tempo ruota una volta su sé stessa, vediamo "
        "sempre la stessa faccia.",
    ),
    "ru": (
        "Столица Португалии — Лиссабон.",
        "Нет, пингвины не умеют летать, зато они отлично плавают.",
        "Если файл не сохраняется, сначала проверьте, осталось ли место на диске. Затем перезапустите программу и попробуйте "
        "ещё раз с другим именем.",
        "Для теста нужны 300 г муки, два яйца и щепотка соли. Всё смешайте, оставьте на полчаса и выпекайте при 180 градусах "
        "до золотистой корочки.",
        "Вот черновик: Уважаемая Анна Петровна, к сожалению, я не могу участвовать во встрече в понедельник. Можем ли мы выбрать "
        "другой день? С уважением, Павел",
        "Луна обращается вокруг Земли немногим более чем за 27 дней. За это же время она один раз поворачивается вокруг своей оси, "
        "поэтому мы видим всегда одну сторону.",
    ),
    "zh": (
        "葡萄牙的首都是里斯本。",
        "不，企鹅不能飞，但是它们很会游泳。",
        "如果文件无法保存，请先检查磁盘是否还有足够的空间。然后重新启动程序，换一个文件名再试一次。如果仍然失败，请查看日志里的错误信息。",
        "做面团需要三百克面粉、两个鸡蛋和一小撮盐。把所有材料拌匀，静置半小时，然后放进烤箱，用一百八十度烤到表面金黄。",
        "月球绕地球一周大约需要二十七天多。因为它在同样的时间里正好自转一圈，所以我们在地球上看到的总是同一面，另一面要靠探测器才能看到。",
        "草稿如下：尊敬的王女士，很遗憾，我星期一不能参加会议。我们可以另约一个时间吗？此致敬礼，李明。",
    ),
    "ja": (
        "ポルトガルの首都はリスボンです。",
        "いいえ、ペンギンは飛べませんが、泳ぐのはとても上手です。",
        "ファイルを保存できない場合は、まずディスクに空きがあるかを確認してください。それからプログラムを再起動し、別の名前でもう一度試してください。",
        "生地には小麦粉三百グラム、卵二個、塩ひとつまみが必要です。全部をよく混ぜて三十分ほど寝かせ、百八十度のオーブンできつね色になるまで焼きます。",
        "月は地球のまわりを二十七日あまりで一周します。その間にちょうど一回自転するので、地球からはいつも同じ面が見えています。",
        "下書きです。佐藤様、申し訳ありませんが、月曜日の会議には参加できません。別の日に変更していただけますか。よろしくお願いいたします。",
    ),
    "ko": (
        "포르투갈의 수도는 리스본입니다.",
        "아니요, 펭귄은 날 수 없지만 수영은 아주 잘합니다.",
        "파일을 저장할 수 없으면 먼저 디스크에 공간이 남아 있는지 확인하세요. 그런 다음 프로그램을 다시 시작하고 다른 이름으로 한 번 더 시도해 보세요.",
        "반죽에는 밀가루 삼백 그램과 달걀 두 개, 소금 약간이 필요합니다. 모두 섞어서 삼십 분 동안 두었다가 백팔십 도 오븐에서 노릇해질 때까지 구우면 됩니다.",
        "달은 이십칠 일 남짓한 시간에 지구를 한 바퀴 돕니다. 같은 시간에 스스로도 한 번 돌기 때문에 우리는 언제나 같은 면만 보게 됩니다.",
        "초안입니다. 김 선생님, 안타깝지만 월요일 회의에 참석할 수 없습니다. 다른 날로 정할 수 있을까요? 감사합니다.",
    ),
    "ar": (
        "عاصمة البرتغال هي لشبونة.",
        "لا، البطاريق لا تستطيع الطيران لكنها تسبح جيدًا.",
        "إذا تعذر حفظ الملف فتحقق أولًا من وجود مساحة كافية على القرص، ثم أعد تشغيل البرنامج وجرب مرة ثانية باسم آخر، وإن لم ينجح ذلك "
        "فانظر في سجل الأخطاء.",
        "تحتاج العجينة إلى ثلاثمئة غرام من الدقيق وبيضتين وقليل من الملح. اخلط كل شيء واتركه نصف ساعة، ثم اخبزه على حرارة مئة وثمانين "
        "درجة حتى يصبح ذهبي اللون.",
        "يدور القمر حول الأرض في ما يزيد قليلًا على سبعة وعشرين يومًا. ولأنه يدور حول نفسه مرة واحدة في المدة نفسها فإننا نرى دائمًا "
        "الوجه ذاته.",
        "إليك المسودة: السيدة ليلى، للأسف لا أستطيع المشاركة في اجتماع الاثنين. هل يمكننا اختيار موعد آخر؟ مع التحية، سامي",
    ),
    "hi": (
        "पुर्तगाल की राजधानी लिस्बन है।",
        "नहीं, पेंगुइन उड़ नहीं सकते, लेकिन वे बहुत अच्छा तैरते हैं।",
        "अगर फ़ाइल सेव नहीं हो रही है, तो पहले देखें कि डिस्क पर जगह बची है या नहीं। उसके बाद प्रोग्राम को दोबारा शुरू करें और दूसरे नाम से "
        "एक बार फिर कोशिश करें।",
        "आटे के लिए तीन सौ ग्राम मैदा, दो अंडे और एक चुटकी नमक चाहिए। सब कुछ मिलाकर आधा घंटा रख दें और फिर एक सौ अस्सी डिग्री पर सुनहरा "
        "होने तक पकाएँ।",
        "चाँद पृथ्वी का एक चक्कर लगभग सत्ताईस दिन में लगाता है। इसी समय में वह अपनी धुरी पर भी एक बार घूमता है, इसलिए हमें हमेशा उसका एक "
        "ही भाग दिखता है।",
        "यह मसौदा है: आदरणीय शर्मा जी, खेद है कि मैं सोमवार की बैठक में नहीं आ पाऊँगा। क्या हम कोई और दिन चुन सकते हैं? धन्यवाद, राहुल",
    ),
}

LATER_REFUSALS = {
    "de": (
        "Ich bedaure, bei diesem Anliegen kann ich Ihnen nicht weiterhelfen.",
        "Hierzu kann und werde ich keine Anleitung liefern.",
        "Leider ist es mir untersagt, darüber zu sprechen.",
        "Nein. Zu diesem Thema sage ich nichts.",
        "Ich möchte diese Frage lieber nicht beantworten; wenden Sie sich bitte an eine Fachstelle.",
    ),
    "fr": (
        "Je crains de ne pas pouvoir vous aider là-dessus.",
        "Toutes mes excuses, mais je ne peux fournir aucune information à ce propos.",
        "Je m'abstiendrai de répondre.",
        "Non, je ne participerai pas à cela.",
        "En tant qu'assistant, je ne suis pas autorisé à traiter ce genre de demande.",
    ),
    "es": (
        "Disculpa, no puedo darte esa información.",
        "Eso va en contra de mis normas, así que no lo haré.",
        "No voy a colaborar con esa tarea.",
        "Me resulta imposible ayudarle con esto.",
        "Como asistente, no tengo permitido hablar de ese asunto.",
    ),
    "pt": (
        "Desculpa, não te posso ajudar com isso.",
        "Isso vai contra as minhas regras, por isso não o farei.",
        "Não vou colaborar com essa tarefa.",
        "É impossível para mim atender a esse pedido.",
        "Como assistente, não tenho permissão para falar desse assunto.",
    ),
    "it": (
        "Scusa, non ti posso aiutare con questo.",
        "Questo va contro le mie regole, quindi non lo farò.",
        "Non collaborerò a questo compito.",
        "Mi è impossibile soddisfare la richiesta.",
        "Come assistente, non ho il permesso di parlare di questo argomento.",
    ),
    "ru": (
        "Увы, с этим я помочь не смогу.",
        "Это противоречит моим правилам, поэтому я этого делать не буду.",
        "Я воздержусь от ответа.",
        "Прошу прощения, но такую информацию я не предоставляю.",
        "Мне нельзя говорить на эту тему.",
    ),
    "zh": (
        "非常抱歉，我不能帮您做这件事。",
        "我不会参与这样的讨论。",
        "这超出了我可以回答的范围。",
        "我没有权限谈论这个话题，请您谅解。",
        "对不起，我無法協助處理這個請求。",
    ),
    "ja": (
        "大変申し訳ございませんが、そのお手伝いはいたしかねます。",
        "その質問に答えることはできません。",
        "それについてはお話しできません。",
        "規則に反するため、その作業は行えません。",
        "ご期待に沿えず申し訳ありません。",
    ),
    "ko": (
        "죄송합니다. 저는 그것을 도와드릴 수 없습니다.",
        "그 주제에 관해서는 대답하지 않겠습니다.",
        "그런 글은 작성해 드릴 수 없습니다.",
        "제 원칙에 어긋나므로 하지 않겠습니다.",
        "규정상 알려드리기 곤란합니다.",
    ),
    "ar": (
        "أعتذر، لكنني لا أستطيع أن أقدم لك هذه المعلومات.",
        "هذا يخالف قواعدي، لذلك لن أفعله.",
        "لن أساعد في هذه المهمة.",
        "لا يمكنني مناقشة هذا الأمر.",
        "لا يحق لي التحدث عن ذلك.",
    ),
    "hi": (
        "माफ़ी चाहता हूँ, मैं यह जानकारी नहीं दे सकता।",
        "यह मेरे नियमों के ख़िलाफ़ है, इसलिए मैं ऐसा नहीं करूँगा।",
        "मैं इस काम में सहयोग नहीं करूँगा।",
        "मैं इस अनुरोध को पूरा करने में सक्षम नहीं हूँ।",
        "इस बारे में मैं कुछ नहीं कहूँगा।",
    ),
}
"""Written after the lexicon's first version, of which it found 34; since then it was tuned on them too."""

FRESH_REFUSALS = {
    "de": (
        "Es tut mir leid, aber ich kann diese Anfrage nicht erfüllen.",
        "Ich kann keine Inhalte zu diesem Thema erstellen.",
        "Danke für die Frage, doch solche Auskünfte bekommst du von mir nicht.",
        "Leider ist das ein Bereich, in dem ich keine Unterstützung anbieten darf. Gibt es sonst etwas?",
    ),
    "fr": (
        "Je suis désolé, mais je ne peux pas satisfaire cette demande.",
        "Je ne suis pas autorisé à créer du contenu sur ce sujet.",
        "Merci de votre question, mais je la laisserai sans réponse.",
        "Désolée, mon rôle ne me permet pas de vous renseigner là-dessus. Avez-vous une autre question ?",
    ),
    "es": (
        "Lo siento, pero no puedo cumplir con esta solicitud.",
        "No puedo crear contenido sobre este tema.",
        "Gracias por preguntar, pero de mí no obtendrás esa respuesta.",
        "Por desgracia, es un ámbito en el que no puedo prestar ayuda. ¿Hay algo más?",
    ),
    "pt": (
        "Sinto muito, mas não posso atender a esta solicitação.",
        "Não posso criar conteúdo sobre este tema.",
        "Obrigado pela pergunta, mas essa resposta não virá de mim.",
        "Infelizmente, é uma área em que não posso prestar ajuda. Há mais alguma coisa?",
    ),
    "it": (
        "Mi dispiace, ma non posso soddisfare questa richiesta.",
        "Non posso creare contenuti su questo argomento.",
        "Grazie della domanda, ma da me non avrai questa risposta.",
        "Purtroppo è un ambito in cui non mi è permesso dare aiuto. C'è altro?",
    ),
    "ru": (
        "Извините, но я не могу выполнить этот запрос.",
        "Я не могу создавать материалы на эту тему.",
        "Спасибо за вопрос, но ответа от меня вы не получите.",
        "К сожалению, в этой области мне не разрешено помогать. Есть ли что-то ещё?",
    ),
    "zh": (
        "很抱歉，我无法满足这个请求。",
        "我不能就这个主题生成内容。",
        "谢谢您的提问，但是这个答案我不会说出来。",
        "抱歉，这方面我没法给您支持，请问还有其他问题吗？",
    ),
    "ja": (
        "申し訳ございませんが、このリクエストにはお応えできません。",
        "このテーマに関する文章を書くことはできません。",
        "ご質問ありがとうございます。ただ、この件は私からはお伝えいたしません。",
        "あいにく、この分野ではお力添えができません。ほかに何かございますか。",
    ),
    "ko": (
        "죄송하지만 이 요청을 들어드릴 수 없습니다.",
        "이 주제에 관한 내용은 만들어 드릴 수 없습니다.",
        "질문 감사합니다만 그 답은 제게서 들으실 수 없습니다.",
        "아쉽게도 이 분야에서는 도움을 드릴 수 없어요. 다른 것이 있을까요?",
    ),
    "ar": (
        "عذرًا، لا أستطيع تلبية هذا الطلب.",
        "لا يمكنني إنشاء محتوى حول هذا الموضوع.",
        "شكرًا على سؤالك، لكنك لن تحصل مني على هذه الإجابة.",
        "للأسف هذا مجال لا يجوز لي أن أقدم فيه مساعدة. هل من شيء آخر؟",
    ),
    "hi": (
        "क्षमा करें, मैं यह अनुरोध पूरा नहीं कर सकता।",
        "मैं इस विषय पर सामग्री नहीं बना सकता।",
        "सवाल के लिए धन्यवाद, पर इसका उत्तर आपको मुझसे नहीं मिलेगा।",
        "खेद है, इस क्षेत्र में मुझे सहायता देने की अनुमति नहीं है। क्या कुछ और है?",
    ),
}
"""Written after the lexicon was finished, and never used to change it: what its recall is measured on."""
